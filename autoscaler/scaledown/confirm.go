package scaledown

import (
	"cmp"
	"slices"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// confirm places everything again as scale-up would after the removals: all
// evicted and incoming pods together, on all usable nodes. The moves have been
// proven one by one, but packing in another order can need more room. As long as
// a pod is left over that would make a group grow again, nodes that were chosen
// last with pods on them stay, one, then two, then four; so the two plans never
// work against each other.
func (p *planner) confirm() {
	if len(p.chosen) == 0 {
		return
	}
	before := p.leftOver(nil)
	for step := 1; len(p.chosen) > 0 && !noMore(p.leftOver(p.chosen), before); step *= 2 {
		for range min(step, len(p.chosen)) {
			p.keepLast()
		}
	}
	if len(p.chosen) == 0 {
		p.decision.Moves = nil
	}
	for _, c := range p.chosen {
		p.decision.Remove = append(p.decision.Remove, p.removal(c))
	}
}

// keepLast keeps the last node that was chosen with pods on it, or the last.
func (p *planner) keepLast() {
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

// noMore reports whether no class has more pods left over than before.
func noMore(after, before map[*cluster.Class]int32) bool {
	for c, n := range after {
		if n > before[c] {
			return false
		}
	}
	return true
}

// leftOver tells how many pods of each class find no node once the given nodes are
// gone, and keeps where the others are as the decision's moves.
func (p *planner) leftOver(gone []*candidate) map[*cluster.Class]int32 {
	p.l.Fork()
	defer p.l.Revert()
	w := &waiting{p: p, batches: map[*cluster.Class]*fit.Batch{}, pods: map[*cluster.Class][]cluster.Pod{}}
	for _, c := range gone {
		p.l.Drain(c.at)
		for _, pod := range c.toMove {
			w.add(pod)
		}
	}
	for i := range p.arriving {
		pod := &p.arriving[i]
		switch {
		case !placeable(pod.Class):
		case p.l.Nominate(*pod) >= 0:
			w.moves = append(w.moves, cluster.Placement{Pod: pod.Pod, Node: pod.Status.NominatedNodeName})
		default:
			w.add(*pod)
		}
	}
	skip := len(w.moves)
	left := w.place()
	p.decision.Moves = w.placements(skip)
	return left
}

// waiting are pods that are placed together, in the order of scale-up.
type waiting struct {
	p       *planner
	batches map[*cluster.Class]*fit.Batch
	pods    map[*cluster.Class][]cluster.Pod
	moves   []cluster.Placement
}

func (w *waiting) add(pod cluster.Pod) {
	if w.batches[pod.Class] == nil {
		w.batches[pod.Class] = w.p.l.Batch(pod.Class, 0)
	}
	w.batches[pod.Class].Left++
	w.pods[pod.Class] = append(w.pods[pod.Class], pod)
}

// place places all on the usable nodes and returns what is left of each class.
func (w *waiting) place() map[*cluster.Class]int32 {
	l := w.p.l
	var nodes []int32
	for n := range int32(l.Len()) {
		if l.Usable(n) {
			nodes = append(nodes, n)
		}
	}
	capacity := slices.Repeat([]int64{1}, len(l.Dims()))
	for _, n := range nodes {
		for d, q := range l.Capacity(n) {
			capacity[d] = max(capacity[d], q)
		}
	}
	var all []*fit.Batch
	for _, b := range w.batches {
		all = append(all, b)
	}
	fit.Sort(all, capacity)
	slices.SortStableFunc(all, func(a, b *fit.Batch) int { return cmp.Compare(b.Class().Priority, a.Class().Priority) })
	shelf := l.Shelf(nodes)
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Class().Priority == all[0].Class().Priority {
			n++
		}
		l.PlaceTogether(all[:n], shelf)
		all = all[n:]
	}
	left := map[*cluster.Class]int32{}
	for c, b := range w.batches {
		if b.Left > 0 {
			left[c] = b.Left
		}
	}
	return left
}

// placements are the pods with their places, leaving out the first ones of the
// ledger's.
func (w *waiting) placements(skip int) []cluster.Placement {
	w.p.l.Placed(func(pl fit.Placed) {
		if skip > 0 {
			skip--
			return
		}
		queue := w.pods[pl.Class]
		for _, pod := range queue[:pl.Count] {
			w.moves = append(w.moves, cluster.Placement{Pod: pod.Pod, Node: w.p.l.State(pl.Node).Name()})
		}
		w.pods[pl.Class] = queue[pl.Count:]
	})
	return w.moves
}
