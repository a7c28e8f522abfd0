package scaledown

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// confirm places everything again as scale-up would after the removals: all
// evicted and incoming pods together, in scale-up's order, on all usable nodes.
// The moves have been proven one by one, but packing in another order can need
// more room. As long as a pod is left over that would make a group grow again,
// the last node that was chosen with pods on it stays; so the two plans never
// work against each other.
func (p *planner) confirm() {
	before := p.leftOver(nil)
	for len(p.chosen) > 0 && !subset(p.leftOver(p.chosen), before) {
		last := len(p.chosen) - 1
		for i, c := range slices.Backward(p.chosen) {
			if !c.empty() {
				last = i
				break
			}
		}
		p.waiting(p.chosen[last], NoPlaceToMovePods, "without it a group would have to grow again")
		p.chosen = slices.Delete(p.chosen, last, last+1)
	}
	for _, c := range p.chosen {
		p.decision.Remove = append(p.decision.Remove, p.removal(c))
	}
}

// leftOver tells which pods find no node once the given nodes are gone.
func (p *planner) leftOver(gone []*candidate) map[*corev1.Pod]bool {
	p.s.Fork()
	defer p.s.Revert()
	var pods []*corev1.Pod
	// origin: pod that is placed -> pod as it is in the snapshot.
	origin := map[*corev1.Pod]*corev1.Pod{}
	for _, c := range gone {
		if p.s.RemoveNode(c.node.Name()) != nil {
			continue
		}
		for _, pod := range c.toMove {
			moved := unboundCopy(pod)
			origin[moved] = pod
			pods = append(pods, moved)
		}
	}
	for _, pod := range p.s.Incoming() {
		if !cluster.Expendable(pod) && !p.s.Nominate(pod) {
			origin[pod] = pod
			pods = append(pods, pod)
		}
	}
	fit.SortPods(pods, p.s.Groups())
	packer := fit.NewPacker(p.checker, p.s.Nodes())
	left := map[*corev1.Pod]bool{}
	for _, pod := range packer.PlaceAll(pods) {
		left[origin[pod]] = true
	}
	return left
}

func subset(a, b map[*corev1.Pod]bool) bool {
	for pod := range a {
		if !b[pod] {
			return false
		}
	}
	return true
}
