package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// outcome is what became of one workload.
type outcome struct {
	pods, planned, added int // nodes of the first plan, and slack on top of it
	late                 int // pods without a node after the first round
	rounds, nodes        int // in the end
}

// trial plays a workload: plan, let the nodes join, let the scheduler place, and
// again for what it left.
type trial struct {
	in       cluster.Input
	slack    float64 // share of the first plan's nodes that is added to it
	oneByOne bool    // nodes join one after the other
	// asScheduled plans for how the scheduler places pods.
	asScheduled bool
	calm        time.Duration // for which nothing must happen
}

// maxRounds ends a workload that the planner says needs no more nodes.
const maxRounds = 10

func (t *trial) run(ctx context.Context) (outcome, error) {
	var o outcome
	for _, p := range t.in.Pods {
		if p.Spec.NodeName == "" {
			o.pods++
		}
	}
	for o.rounds = 0; o.rounds < maxRounds; o.rounds++ {
		plan, err := t.plan()
		if err != nil {
			return o, err
		}
		if o.rounds > 0 && len(plan) == 0 {
			break
		}
		nodes := t.join(o.rounds, plan)
		if o.rounds == 0 {
			o.planned = len(nodes)
			nodes = append(nodes, t.addSlack(plan)...)
			o.added = len(nodes) - o.planned
		}
		o.nodes += len(nodes)
		left, err := t.schedule(ctx, nodes)
		if err != nil {
			return o, err
		}
		if o.rounds == 0 {
			o.late = left
		}
		if left == 0 {
			o.rounds++
			break
		}
	}
	return o, nil
}

func (t *trial) plan() ([]cluster.NewNode, error) {
	s, err := cluster.New(clustertest.Honest(t.in))
	if err != nil {
		return nil, err
	}
	d := scaleup.Plan(s, t.in.Now, scaleup.Options{MaxNodesPerPlan: math.MaxInt32, AsScheduled: t.asScheduled})
	if d.Err != nil {
		return nil, d.Err
	}
	if n := len(d.Unhelped); n > 0 {
		return nil, fmt.Errorf("%d pods cannot be helped: %s", n, d.Unhelped[0].Reason)
	}
	return d.NewNodes, nil
}

// join makes Nodes of planned ones.
func (t *trial) join(round int, plan []cluster.NewNode) []*corev1.Node {
	var nodes []*corev1.Node
	for i, n := range plan {
		at := slices.IndexFunc(t.in.Groups, func(g cluster.Group) bool { return g.Name == n.Group })
		g := &t.in.Groups[at]
		g.Desired++
		nodes = append(nodes, clustertest.Join(g, fmt.Sprintf("i-%02d-%05d", round, i), n.Zone))
	}
	t.in.Nodes = append(t.in.Nodes, nodes...)
	return nodes
}

// addSlack joins a share of the plan's nodes more, of its groups in turn.
func (t *trial) addSlack(plan []cluster.NewNode) []*corev1.Node {
	n := int(math.Ceil(t.slack * float64(len(plan))))
	if n == 0 {
		return nil
	}
	var more []cluster.NewNode
	for i := range n {
		more = append(more, plan[i*len(plan)/n])
	}
	return t.join(90, more)
}

// schedule has the scheduler place what waits, and tells how many pods it left.
func (t *trial) schedule(ctx context.Context, joined []*corev1.Node) (left int, err error) {
	first := t.in.Nodes
	if t.oneByOne {
		first = t.in.Nodes[:len(t.in.Nodes)-len(joined)]
	}
	r, err := start(ctx, first, t.in.Pods)
	if err != nil {
		return 0, err
	}
	defer r.close()
	if t.oneByOne {
		for _, n := range joined {
			if err := r.addNode(n); err != nil {
				return 0, fmt.Errorf("join node: %w", err)
			}
			if _, err := r.settle(ctx, t.calm); err != nil {
				return 0, err
			}
		}
	}
	pods, err := r.settle(ctx, t.calm)
	if err != nil {
		return 0, fmt.Errorf("wait for the scheduler: %w", err)
	}
	t.in.Pods = nil
	for _, p := range pods {
		p = p.DeepCopy()
		if p.Spec.NodeName == "" {
			left++
		} else {
			p.Status.Phase = corev1.PodRunning
		}
		t.in.Pods = append(t.in.Pods, p)
	}
	return left, nil
}
