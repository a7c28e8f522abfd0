package scaleup

import (
	"cmp"
	"slices"
	"time"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// Plan decides which groups to grow for the snapshot's pending pods at now.
func Plan(s *cluster.Snapshot, now time.Time, o Options) Decision {
	p := &planner{s: s, now: now, o: o, pods: s.Pending()}
	if displaced := s.Displaced(); len(displaced) > 0 {
		p.pods = slices.Concat(p.pods, displaced)
	}
	p.homes, p.queues = make([]int32, len(p.pods)), make([][]int32, s.MaxClassID())
	return p.plan()
}

// nowhere is the home of a pod that has none.
const nowhere = int32(-1)

// planner is one run of Plan.
type planner struct {
	s   *cluster.Snapshot
	now time.Time
	o   Options
	l   *fit.Ledger
	// pods are those to plan for: the pending ones, and after them the displaced ones,
	// which arrive as soon as they are evicted.
	pods []cluster.Pod
	// homes: place in pods -> node that the plan has found for the pod.
	homes []int32
	// holds: place in pods -> why no node is opened for the pod; nil when none is
	// held. heldOf: class ID -> how many of its queue are held; they come first in it.
	holds  []Hold
	heldOf []int32
	// queues: class ID -> places in pods of those that are planned for.
	queues [][]int32
	// levels are the pods to plan for, by priority, the highest first.
	levels []level
	groups []*group // by name
	byName map[string]*group
	// shapes and places count the different ones of the groups' options.
	shapes, places int
	// opened are the nodes that the plan has opened by now.
	opened []int32
	// present are the nodes that were there when the pass at hand began, among
	// them those that an earlier pass has opened: the next plan will see both.
	// bins are these and the ones that the pass has opened.
	present, bins *fit.Shelf
	// standing are those that no plan opens: held pods may go there alone.
	standing *fit.Shelf
	used     limits
	// spread says that the pass at hand places plain pods as the scheduler would.
	spread bool
	// priced says that groups are compared by their costs: a price is known.
	priced bool
	// spare: for each node opened as headroom, its group.
	spare []string

	decision Decision
}

// level are the batches of one priority.
type level struct {
	priority           int32
	plain, constrained []*fit.Batch
	// held are the batches that no node is opened for.
	heldPlain, heldConstrained []*fit.Batch
	// totals: how many pods each batch has, in the order of each.
	totals []int32
}

func (p *planner) plan() Decision {
	if len(p.pods) == 0 && !p.wantsHeadroom() {
		return p.decision
	}
	classes, nominated := p.setAside()
	l, err := fit.NewBraked(p.s, p.o.Profile, classes, p.o.Brakes)
	if err != nil {
		return Decision{Err: err}
	}
	p.l = l
	p.leave()
	nominated = p.nominate(nominated)
	p.setGroups()
	p.setCosts()
	p.setLevels(classes)
	p.grow()
	p.report(nominated)
	return p.decision
}

// leave takes the leaving nodes out. What only waits for them to be gone needs no growth.
func (p *planner) leave() {
	for n := range int32(p.l.Len()) {
		if st := p.l.State(n); st.Leaving() {
			p.l.Remove(n)
			p.decision.Leaving = append(p.decision.Leaving, st.Name())
		}
	}
}

// displaced reports whether the pod of that place in pods still has a node.
func (p *planner) displaced(i int) bool { return i >= len(p.s.Pending()) }

// setAside reports the pods that are not to be planned for, and returns the
// classes of the others, and the pods that the scheduler says it makes room for,
// which are not in a queue yet.
func (p *planner) setAside() (classes []*cluster.Class, nominated []int32) {
	pods := p.pods
	counts := make([]int32, len(p.queues))
	known := make([]bool, len(p.queues))
	planned := make([]int32, 0, len(pods))
	for i, pod := range pods {
		p.homes[i] = nowhere
		c := pod.Class
		if why := p.refused(pod); !pod.Nominated() && why != "" {
			if !p.displaced(i) {
				p.unhelped(pod, why, nil)
			}
			continue
		}
		if !known[c.ID] {
			known[c.ID] = true
			classes = append(classes, c)
		}
		if pod.Nominated() {
			nominated = append(nominated, int32(i))
			continue
		}
		counts[c.ID]++
		planned = append(planned, int32(i))
	}
	planned = p.holdBack(planned)
	p.setQueues(planned, counts)
	slices.SortFunc(classes, func(a, b *cluster.Class) int { return cmp.Compare(a.Key, b.Key) })
	return classes, nominated
}

// nominate lets the pods that the scheduler makes room for take it, those of a
// higher priority first, and returns them. The others are planned for like any pod.
func (p *planner) nominate(pods []int32) (placed []int32) {
	pending := p.pods
	slices.SortStableFunc(pods, func(a, b int32) int {
		return cmp.Compare(pending[b].Class.Priority, pending[a].Class.Priority)
	})
	for _, i := range pods {
		pod := pending[i]
		if p.l.Nominate(pod) >= 0 {
			placed = append(placed, i)
		} else if why := p.refused(pod); why != "" {
			p.unhelped(pod, why, nil)
		} else {
			p.enqueue(i)
		}
	}
	return placed
}

// enqueue puts one more pod in its class's queue, a held one before all others.
func (p *planner) enqueue(i int32) {
	p.holdBack([]int32{i})
	queue := &p.queues[p.pods[i].Class.ID]
	if p.holds != nil && p.holds[i].Reason != "" {
		*queue = append([]int32{i}, *queue...)
		return
	}
	*queue = append(*queue, i)
}

// holdBack finds the pods that no node is opened for, and returns all with those first.
func (p *planner) holdBack(planned []int32) []int32 {
	if p.o.Held == nil {
		return planned
	}
	if p.holds == nil {
		p.holds, p.heldOf = make([]Hold, len(p.homes)), make([]int32, len(p.queues))
	}
	var held, others []int32
	for _, i := range planned {
		pod := p.pods[i]
		if !p.displaced(int(i)) { // nothing was bought for a pod that still has a node
			p.holds[i] = p.o.Held(pod)
		}
		if p.holds[i].Reason == "" {
			others = append(others, i)
			continue
		}
		p.heldOf[pod.Class.ID]++
		held = append(held, i)
	}
	return append(held, others...)
}

// setQueues sorts the pods that are planned for by class.
func (p *planner) setQueues(planned, counts []int32) {
	all, at := make([]int32, len(planned)), int32(0)
	for id, n := range counts {
		p.queues[id] = all[at : at : at+n]
		at += n
	}
	for _, i := range planned {
		id := p.pods[i].Class.ID
		p.queues[id] = append(p.queues[id], i)
	}
}

// refused says why the pod is not planned for, empty when it is.
func (p *planner) refused(pod cluster.Pod) string {
	c := pod.Class
	switch {
	case c.Expendable():
		return expendableReason(pod.Pod)
	case c.Unsupported != "":
		return c.Unsupported
	case c.Volumes != nil:
		return c.Volumes.Refused
	}
	return ""
}

// setLevels sorts the pods by priority and size.
func (p *planner) setLevels(classes []*cluster.Class) {
	at := map[int32]int{}
	for _, c := range classes {
		n := len(p.queues[c.ID])
		if n == 0 {
			continue
		}
		i, ok := at[c.Priority]
		if !ok {
			i = len(p.levels)
			at[c.Priority] = i
			p.levels = append(p.levels, level{priority: c.Priority})
		}
		lv := &p.levels[i]
		held := 0
		if p.heldOf != nil {
			held = int(p.heldOf[c.ID])
		}
		lv.add(p.l.Batch(c, n-held), &lv.plain, &lv.constrained)
		lv.add(p.l.Batch(c, held), &lv.heldPlain, &lv.heldConstrained)
	}
	slices.SortFunc(p.levels, func(a, b level) int { return cmp.Compare(b.priority, a.priority) })
	capacity := p.largest()
	for i := range p.levels {
		fit.Sort(p.levels[i].plain, capacity)
		fit.Sort(p.levels[i].constrained, capacity)
		fit.Sort(p.levels[i].heldPlain, capacity)
		fit.Sort(p.levels[i].heldConstrained, capacity)
		p.levels[i].each(func(b *fit.Batch) { p.levels[i].totals = append(p.levels[i].totals, b.Left) })
	}
}

// add takes a batch that is not empty into the list for its like.
func (lv *level) add(b *fit.Batch, plain, constrained *[]*fit.Batch) {
	switch {
	case b.Left == 0:
	case b.Plain():
		*plain = append(*plain, b)
	default:
		*constrained = append(*constrained, b)
	}
}

// each calls f for all batches of the level, in the order of totals.
func (lv *level) each(f func(*fit.Batch)) {
	for _, list := range [...][]*fit.Batch{lv.plain, lv.constrained, lv.heldPlain, lv.heldConstrained} {
		for _, b := range list {
			f(b)
		}
	}
}

// largest is the largest of each dimension that a new node would have.
func (p *planner) largest() []int64 {
	out := make([]int64, len(p.l.Dims()))
	for _, g := range p.groups {
		for _, o := range g.options {
			for d, q := range p.l.NewCapacity(g.Name, o.zone) {
				out[d] = max(out[d], q)
			}
		}
	}
	for d := range out {
		out[d] = max(out[d], 1)
	}
	return out
}
