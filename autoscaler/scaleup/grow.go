package scaleup

import (
	"cmp"
	"slices"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// maxReplays bounds how often a plan is placed anew after it has grown. Each
// replay that grows again adds nodes, so it would end by itself at the groups'
// maximum.
const maxReplays = 6

// grow finds the nodes to open and leaves the ledger with all pods placed on them
// and on the nodes that are there.
//
// A first pass opens nodes as it needs them. Then everything is placed again from
// the start with these nodes there from the beginning: so the scheduler will see
// them, and so the next plan will, with the nodes on their way. What a node that
// was added late has made impossible (topology spread) is planned for once more.
func (p *planner) grow() {
	open, settled := map[string]int{}, false
	for try := range maxReplays {
		last := try == maxReplays-1
		p.l.Fork()
		// The first pass finds the groups, the later ones how many nodes; what the
		// last one has to place must fit on what they found.
		p.spread = p.o.AsScheduled && try > 0 && !last
		more := p.pass(open, !last)
		if more == nil {
			settled = !last
			break
		}
		p.undo()
		open = more
	}
	if fewer := p.withoutUnused(); fewer != nil && (settled || !p.o.AsScheduled) {
		left := p.left()
		kept := p.counts()
		p.undo()
		p.l.Fork()
		p.pass(fewer, false)
		if p.left() > left {
			p.undo()
			p.l.Fork()
			p.pass(kept, false)
		}
	}
	for range maxReplays {
		// Pods will use the room that was meant to stay free, as far as the
		// scheduler spreads them: what is left then must suffice.
		if !p.addHeadroom() {
			break
		}
		with := p.counts()
		p.undo()
		p.l.Fork()
		p.pass(with, false)
	}
	p.l.Commit()
}

func (p *planner) undo() {
	p.close(0)
	p.l.Revert()
}

// pass places all pods, on new nodes of the groups too: group -> how many. It
// returns how many of each group there should be when it had to open more, nil
// when all went as given.
func (p *planner) pass(open map[string]int, mayGrow bool) map[string]int {
	for i := range p.levels {
		lv, at := &p.levels[i], 0
		lv.each(func(b *fit.Batch) { b.Left, at = lv.totals[at], at+1 })
	}
	for _, g := range p.groups {
		for range open[g.Name] {
			p.open(g)
		}
		g.chosen = g.opened > 0
	}
	given := len(p.opened)
	nodes := p.nodes()
	if p.holds != nil {
		p.standing = p.l.Shelf(p.unplanned(nodes))
	}
	p.present, p.bins = p.l.Shelf(nodes), p.l.Shelf(slices.Clone(nodes))
	for i := range p.levels {
		p.placeLevel(&p.levels[i], mayGrow)
	}
	if len(p.opened) == given {
		return nil
	}
	return p.counts()
}

func (p *planner) counts() map[string]int {
	counts := map[string]int{}
	for _, g := range p.groups {
		if g.opened > 0 {
			counts[g.Name] = g.opened
		}
	}
	return counts
}

func (p *planner) left() int {
	n := 0
	for i := range p.levels {
		p.levels[i].each(func(b *fit.Batch) { n += int(b.Left) })
	}
	return n
}

// nodes are the nodes to place on: those of the API server first, by name, then
// imagined ones by group, so that capacity that was asked for by an earlier plan
// and capacity that this plan opens stand in the order in which the next plan
// will see both. Groups with headroom come last, so that theirs stays free as long
// as there is other room.
func (p *planner) nodes() []int32 {
	bins := make([]int32, 0, p.l.Len())
	imagined := 0
	for n := range int32(p.l.Len()) {
		if !p.l.Usable(n) {
			continue
		}
		if kind := p.l.State(n).Kind; kind == cluster.Joined || kind == cluster.Starting {
			bins = append(bins, n)
			imagined = len(bins)
			continue
		}
		bins = append(bins, n)
	}
	slices.SortStableFunc(bins[imagined:], func(a, b int32) int {
		x, y := p.byName[p.l.State(a).Group], p.byName[p.l.State(b).Group]
		return cmp.Or(cmp.Compare(min(x.Headroom, 1), min(y.Headroom, 1)), cmp.Compare(x.Name, y.Name))
	})
	return bins
}

// placeLevel places the pods of one priority: those that terms about other pods
// bind first, the others into what is left.
func (p *planner) placeLevel(lv *level, mayGrow bool) {
	for {
		before := p.leftOf(lv)
		if before == 0 {
			return
		}
		p.placeHeld(lv)
		f := p.l.NewFiller(lv.plain)
		for _, b := range lv.constrained {
			if b.Left > 0 {
				p.placeConstrained(b, f, mayGrow)
			}
		}
		if p.spread {
			f.SpreadAll(p.bins.Nodes())
		} else {
			f.FillAll(p.bins.Nodes())
		}
		if mayGrow {
			p.growPlain(f)
		}
		// Pods that want to be near others may find them now.
		if left := p.leftOf(lv); left == before || len(lv.constrained)+len(lv.heldConstrained) == 0 {
			return
		}
	}
}

func (p *planner) leftOf(lv *level) int {
	n := 0
	lv.each(func(b *fit.Batch) { n += int(b.Left) })
	return n
}

// placeHeld places the pods that no node is opened for, where they can go without.
func (p *planner) placeHeld(lv *level) {
	for _, b := range lv.heldConstrained {
		p.standing.Candidates(b).PlaceAll()
	}
	if len(lv.heldPlain) > 0 {
		p.l.NewFiller(lv.heldPlain).FillAll(p.standing.Nodes())
	}
}

// unplanned are those of the nodes that the plan has not opened.
func (p *planner) unplanned(nodes []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(nodes), func(n int32) bool { return p.l.State(n).Kind == cluster.Planned })
}

// withoutUnused gives how many nodes of each group suffice when the last ones of
// a group turned out to be of no use, nil when all are used. Only the last can go:
// the zones of those before them depend on their number.
func (p *planner) withoutUnused() map[string]int {
	if len(p.opened) == 0 {
		return nil
	}
	used := p.usedNodes()
	counts, needed, fewer := p.counts(), map[string]bool{}, false
	for _, n := range slices.Backward(p.opened) {
		name := p.l.State(n).Group
		if needed[name] = needed[name] || used[n]; !needed[name] {
			counts[name]--
			fewer = true
		}
	}
	if !fewer {
		return nil
	}
	return counts
}

// usedNodes: node -> whether the plan has placed a pod there.
func (p *planner) usedNodes() []bool {
	used := make([]bool, p.l.Len())
	p.l.Placed(func(pl fit.Placed) { used[pl.Node] = true })
	return used
}

func (p *planner) wantsHeadroom() bool {
	return slices.ContainsFunc(p.s.Groups(), func(g cluster.Group) bool { return g.Headroom > 0 })
}

// addHeadroom opens nodes of groups that have less left than they are to have,
// and reports whether there were any.
func (p *planner) addHeadroom() bool {
	if !p.wantsHeadroom() {
		return false
	}
	before := len(p.opened)
	free := map[string]*fit.Headroom{}
	for n := range int32(p.l.Len()) {
		if name := p.l.State(n).Group; name != "" {
			if free[name] == nil {
				free[name] = &fit.Headroom{}
			}
			free[name].Add(p.l, n)
		}
	}
	for _, g := range p.groups {
		h := free[g.Name]
		if h == nil {
			h = &fit.Headroom{}
		}
		for g.Headroom > 0 && p.refuses(g) == "" && !h.Enough(p.l.NewCapacity(g.Name, p.nextZone(g)), g.Headroom) {
			h.Add(p.l, p.open(g))
			g.chosen = true
			p.spare = append(p.spare, g.Name)
		}
	}
	return len(p.opened) > before
}
