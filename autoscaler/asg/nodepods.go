package asg

import (
	"cmp"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// mostTellers bounds how many nodes of a type are asked about their pods: it is done in
// each round, and more would not be believed more.
const mostTellers = 32

// With tells the Sight which pods a node has beside those that were sent to it:
// cluster.Cache.NodePods. Without it nothing is learned of them.
func (s *Sight) With(pods func(node string) []cluster.NodePod) *Sight {
	s.pods = pods
	return s
}

// told is one pod of nodes with what it requests on each that has it.
type told struct {
	cluster.NodePod
	requests []cluster.Amounts
}

// agreedPods returns the static pods that more than half of the nodes have, and those of
// DaemonSets that any has, with what more than half of these request at least. Young nodes
// without one are not counted; where no other is left, what have tells stays. All static
// pods of one node alone take no more than the share plausible of what the template has.
func (s *Sight) agreedPods(nodes []teller, have []cluster.NodePod, template corev1.ResourceList) []cluster.NodePod {
	if s.pods == nil {
		return have
	}
	nodes = sample(nodes)
	var all []*told
	find := func(p *cluster.NodePod) *told {
		if i := slices.IndexFunc(all, func(t *told) bool { return t.Same(p) }); i >= 0 {
			return all[i]
		}
		all = append(all, &told{NodePod: *p})
		return all[len(all)-1]
	}
	for i := range have {
		find(&have[i])
	}
	settled := 0
	for _, n := range nodes {
		if !n.young {
			settled++
		}
		pods := s.pods(n.Name)
		for i := range pods {
			t := find(&pods[i])
			t.requests = append(t.requests, pods[i].Requests)
		}
	}
	out := believedPods(all, settled)
	if len(nodes) == 1 {
		limit(out, template)
	}
	return out
}

// sample is at most mostTellers of the nodes, the first by name.
func sample(nodes []teller) []teller {
	if len(nodes) <= mostTellers {
		return nodes
	}
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b teller) int { return cmp.Compare(a.Name, b.Name) })
	return nodes[:mostTellers]
}

// believedPods returns what is believed of the pods, by what they are.
func believedPods(all []*told, settled int) []cluster.NodePod {
	var out []cluster.NodePod
	for _, t := range all {
		n := len(t.requests)
		switch {
		case n == 0 && settled > 0, !t.DaemonSet && 2*n <= settled:
			continue
		case n > 0:
			t.Requests = usual(t.requests)
		}
		out = append(out, t.NodePod)
	}
	slices.SortFunc(out, func(a, b cluster.NodePod) int { return a.Compare(&b) })
	return out
}

// usual is of each resource the largest amount that more than half of the pods request.
func usual(pods []cluster.Amounts) cluster.Amounts {
	most := func(of func(*cluster.Amounts) int64) int64 {
		reports := make([]int64, len(pods))
		for i := range pods {
			reports[i] = of(&pods[i])
		}
		return believed(reports, band{0, math.MaxInt64})
	}
	out := cluster.Amounts{
		MilliCPU:         most(func(a *cluster.Amounts) int64 { return a.MilliCPU }),
		Memory:           most(func(a *cluster.Amounts) int64 { return a.Memory }),
		EphemeralStorage: most(func(a *cluster.Amounts) int64 { return a.EphemeralStorage }),
		Pods:             1,
	}
	for i := range pods {
		for _, s := range pods[i].Scalar {
			v := most(func(a *cluster.Amounts) int64 { return a.Of(s.Name) })
			if v > 0 && out.Of(s.Name) == 0 {
				out.Scalar = append(out.Scalar, cluster.Scalar{Name: s.Name, Value: v})
			}
		}
	}
	slices.SortFunc(out.Scalar, func(a, b cluster.Scalar) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// limit lowers what static pods request to what one node alone is believed.
func limit(pods []cluster.NodePod, template corev1.ResourceList) {
	left := cluster.AmountsOf(template)
	take := func(q *int64, left *int64) {
		*q = min(*q, *left)
		*left -= *q
	}
	half := func(q *int64) { *q = int64(float64(*q) * plausible) }
	half(&left.MilliCPU)
	half(&left.Memory)
	half(&left.EphemeralStorage)
	for i := range pods {
		if pods[i].DaemonSet {
			continue
		}
		r := &pods[i].Requests
		take(&r.MilliCPU, &left.MilliCPU)
		take(&r.Memory, &left.Memory)
		take(&r.EphemeralStorage, &left.EphemeralStorage)
		r.Scalar = nil
	}
}

// mostPods holds the pods of both lists, with the larger of the requests.
func mostPods(a, b []cluster.NodePod) []cluster.NodePod {
	out := slices.Clone(a)
	for i := range b {
		at := slices.IndexFunc(out, func(p cluster.NodePod) bool { return p.Same(&b[i]) })
		if at < 0 {
			out = append(out, b[i])
			continue
		}
		x, y := &out[at].Requests, &b[i].Requests
		x.MilliCPU, x.Memory, x.EphemeralStorage = max(x.MilliCPU, y.MilliCPU), max(x.Memory, y.Memory), max(x.EphemeralStorage, y.EphemeralStorage)
	}
	slices.SortFunc(out, func(a, b cluster.NodePod) int { return a.Compare(&b) })
	return out
}
