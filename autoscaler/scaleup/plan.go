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
	p := &planner{s: s, now: now, o: o, homes: make([]int32, len(s.Pending())), queues: make([][]int32, s.MaxClassID())}
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
	// homes: place in Pending -> node that the plan has found for the pod.
	homes []int32
	// queues: class ID -> places in Pending of its pods that are planned for.
	queues [][]int32
	// levels are the pods to plan for, by priority, the highest first.
	levels []level
	groups []*group // by name
	byName map[string]*group
	// shapes and places count the different ones of the groups' options.
	shapes, places int
	// opened are the nodes that the plan has opened by now.
	opened []int32
	// given is how many nodes the ledger had when the pass at hand began.
	given int
	used  limits
	// spare: for each node opened as headroom, its group.
	spare []string

	decision Decision
}

// level are the batches of one priority.
type level struct {
	priority           int32
	plain, constrained []*fit.Batch
	total              map[*fit.Batch]int32
}

func (p *planner) plan() Decision {
	if len(p.s.Pending()) == 0 && !p.wantsHeadroom() {
		return p.decision
	}
	classes, nominated := p.setAside()
	l, err := fit.NewLedger(p.s, p.o.Profile, classes)
	if err != nil {
		return Decision{Err: err}
	}
	p.l = l
	for _, i := range nominated {
		l.Nominate(p.s.Pending()[i])
	}
	p.setGroups()
	p.setLevels(classes)
	p.grow()
	p.report(nominated)
	return p.decision
}

// setAside reports the pods that are not to be planned for, and returns the
// classes of the others, and the pods that the scheduler makes room for.
func (p *planner) setAside() (classes []*cluster.Class, nominated []int32) {
	for i, pod := range p.s.Pending() {
		p.homes[i] = nowhere
		c := pod.Class
		switch {
		case p.nominated(pod):
			nominated = append(nominated, int32(i))
		case cluster.Expendable(pod.Pod):
			p.unhelped(pod, expendableReason(pod.Pod), nil)
			continue
		case c.Unsupported != "":
			p.unhelped(pod, c.Unsupported, nil)
			continue
		case c.Volumes != nil && c.Volumes.Refused != "":
			p.unhelped(pod, c.Volumes.Refused, nil)
			continue
		}
		if p.queues[c.ID] == nil {
			classes = append(classes, c)
		}
		p.queues[c.ID] = append(p.queues[c.ID], int32(i))
	}
	for _, i := range nominated {
		// It has its place already.
		id := p.s.Pending()[i].Class.ID
		p.queues[id] = slices.DeleteFunc(p.queues[id], func(q int32) bool { return q == i })
	}
	slices.SortFunc(classes, func(a, b *cluster.Class) int { return cmp.Compare(a.Key, b.Key) })
	return classes, nominated
}

// nominated reports whether the scheduler is making room for the pod on a node
// where pods may be planned (preemption).
func (p *planner) nominated(pod cluster.Pod) bool {
	if pod.Status.NominatedNodeName == "" {
		return false
	}
	st := p.s.Node(pod.Status.NominatedNodeName)
	return st != nil && st.Unusable == ""
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
			p.levels = append(p.levels, level{priority: c.Priority, total: map[*fit.Batch]int32{}})
		}
		lv := &p.levels[i]
		b := p.l.Batch(c, n)
		lv.total[b] = b.Left
		if b.Plain() {
			lv.plain = append(lv.plain, b)
		} else {
			lv.constrained = append(lv.constrained, b)
		}
	}
	slices.SortFunc(p.levels, func(a, b level) int { return cmp.Compare(b.priority, a.priority) })
	capacity := p.largest()
	for i := range p.levels {
		fit.Sort(p.levels[i].plain, capacity)
		fit.Sort(p.levels[i].constrained, capacity)
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
