package main

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/validate"
	"github.com/joinery/joinery/bench/workload"
)

// outcome is a plan of either side in the same terms.
type outcome struct {
	newNodes   []cluster.NewNode
	placements []cluster.Placement
	// removed are the nodes that the plan takes out.
	removed map[string]bool
	// unplaced is how many pending pods the plan says that it leaves.
	unplaced int
}

func (d decisions) outcome() outcome {
	o := outcome{newNodes: d.up.NewNodes, placements: slices.Concat(d.up.Placements, d.down.Moves), removed: map[string]bool{}, unplaced: len(d.up.Unhelped)}
	for _, r := range d.down.Remove {
		o.removed[r.Node] = true
	}
	return o
}

// check gives the first thing that is wrong with a plan, or nothing. The error
// says that the plan could not be checked.
func check(in cluster.Input, o outcome) (string, error) {
	if problem := o.arithmetic(in); problem != "" {
		return problem, nil
	}
	if problem := o.constraints(in); problem != "" {
		return problem, nil
	}
	return o.asTheScheduler(in)
}

// asTheScheduler has kube-scheduler's own plugins judge the placements, the
// first of them only where there are many: a judgement looks at all nodes.
func (o outcome) asTheScheduler(in cluster.Input) (string, error) {
	profile, err := fit.DefaultProfile()
	if err != nil {
		return "", fmt.Errorf("check plan: %w", err)
	}
	const looksAtNodes = 2_000_000
	some := validate.Options{MaxPlacements: max(100, looksAtNodes/(1+len(in.Nodes)+len(o.newNodes)))}
	plan := validate.Plan{NewNodes: o.newNodes, Removed: slices.Sorted(maps.Keys(o.removed)), Placements: o.placements}
	problems, err := validate.Check(in, plan, profile, some)
	if err != nil || len(problems) == 0 {
		return "", err
	}
	return problems[0].String(), nil
}

// arithmetic checks by plain sums, apart from all that the planners use, that
// the plan accounts for every pod and that no node is asked for more than it
// has. It gives the first problem, or nothing.
func (o outcome) arithmetic(in cluster.Input) string {
	free := o.room(in)
	homeless := o.homeless(in)
	for _, p := range o.placements {
		if !homeless[p.Pod] {
			return fmt.Sprintf("pod %s is placed twice or needs no place", p.Pod.Name)
		}
		delete(homeless, p.Pod)
		left, ok := free[p.Node]
		if !ok {
			return fmt.Sprintf("pod %s is placed on %s, which will not be there", p.Pod.Name, p.Node)
		}
		request := workload.RequestsOf(p.Pod)
		if !request.Within(left) {
			return fmt.Sprintf("pod %s does not fit on %s by its requests", p.Pod.Name, p.Node)
		}
		free[p.Node] = left.Minus(request)
	}
	if len(homeless) != o.unplaced {
		return fmt.Sprintf("%d pods have no place, the plan speaks of %d", len(homeless), o.unplaced)
	}
	return ""
}

// room is what is free on each node that the plan keeps or adds.
func (o outcome) room(in cluster.Input) map[string]workload.Amounts {
	free := workload.FreeByNode(in)
	for name := range o.removed {
		delete(free, name)
	}
	template := make(map[string]workload.Amounts, len(in.Groups))
	for _, g := range in.Groups {
		template[g.Name] = workload.AmountsOf(g.Template.Allocatable)
	}
	for _, n := range o.newNodes {
		free[n.Name] = template[n.Group]
	}
	return free
}

// homeless are the pods that need a place: those without a node, and those on
// the nodes that go.
func (o outcome) homeless(in cluster.Input) map[*corev1.Pod]bool {
	out := map[*corev1.Pod]bool{}
	for _, pod := range in.Pods {
		if pod.Spec.NodeName == "" || o.removed[pod.Spec.NodeName] {
			out[pod] = true
		}
	}
	return out
}

// cost is what the new nodes cost together, in US dollars an hour.
func cost(in cluster.Input, newNodes []cluster.NewNode) float64 {
	price := make(map[string]float64, len(in.Groups))
	for _, g := range in.Groups {
		price[g.Name] = g.Price
	}
	sum := 0.0
	for _, n := range newNodes {
		sum += price[n.Group]
	}
	return sum
}
