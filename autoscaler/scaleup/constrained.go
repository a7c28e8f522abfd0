package scaleup

import (
	"slices"

	"github.com/joinery/joinery/autoscaler/fit"
)

// placeConstrained places pods that terms about other pods bind. Pods that must
// all be in one domain, whichever it is, are tried in each: the one that takes the
// most of them counts, then the one that needs the fewest new nodes.
func (p *planner) placeConstrained(b *fit.Batch, f *fit.Filler, mayGrow bool) {
	var more []fit.NewAt
	if mayGrow && b.Gathers() {
		more = p.reachable(b)
	}
	domains := p.l.Gathering(b, p.bins, more)
	if len(domains) == 0 {
		p.placeBound(b, f, mayGrow)
		return
	}
	best, fewest, cheapest := domains[0], int32(0), 0
	for i, d := range domains {
		left, nodes := p.try(b, d, f, mayGrow)
		if i == 0 || left < fewest || left == fewest && nodes < cheapest {
			best, fewest, cheapest = d, left, nodes
		}
	}
	b.Pin(best)
	defer b.Unpin()
	p.placeBound(b, f, mayGrow)
}

// try tells how many pods would be left if the batch gathered in the domain, and
// how many nodes it would open.
func (p *planner) try(b *fit.Batch, d fit.Domain, f *fit.Filler, mayGrow bool) (left int32, nodes int) {
	before, pods := len(p.opened), b.Left
	p.l.Fork()
	b.Pin(d)
	p.placeBound(b, f, mayGrow)
	left, nodes = b.Left, len(p.opened)-before
	b.Unpin()
	b.Left = pods
	p.close(before)
	p.l.Revert()
	p.bins.Drop()
	return left, nodes
}

// placeBound places the pods on the nodes that are there, and on new ones when it
// may grow.
func (p *planner) placeBound(b *fit.Batch, f *fit.Filler, mayGrow bool) {
	// What the scheduler could place without new nodes needs none.
	p.present.Candidates(b).PlaceAll()
	if b.Left == 0 || !mayGrow {
		return
	}
	// Zones that a group could open count from here on as if they had a node: the
	// pods are spread over them in one decision.
	var zones []fit.NewAt
	if b.Spreads() {
		zones = p.reachable(b)
	}
	reach := p.l.Reach(b, zones)
	defer reach.Withdraw()
	c := p.bins.Candidates(b)
	var ranked []*offer
	for c.PlaceAll(); b.Left > 0; c.PlaceAll() {
		if ranked == nil {
			ranked = p.rank(b, f)
		}
		opened := p.openFor(b, ranked)
		if len(opened) == 0 && !reach.Any() {
			break
		}
		if len(opened) == 0 {
			reach.Withdraw() // they cannot be opened after all
		}
		for _, n := range opened {
			p.bins.Add(n)
			c.Added(n)
		}
	}
}

// reachable are the zones of groups that could take a pod of the batch now.
func (p *planner) reachable(b *fit.Batch) []fit.NewAt {
	var out []fit.NewAt
	seen := make([]bool, p.places)
	for _, g := range p.groups {
		if p.refuses(g) != "" {
			continue
		}
		for _, o := range g.options {
			if seen[o.place] {
				continue
			}
			seen[o.place] = true
			if p.l.RoomNew(b, g.Name, o.zone) > 0 {
				out = append(out, fit.NewAt{Group: g.Name, Zone: o.zone})
			}
		}
	}
	return out
}

// rank orders the groups by what a new node for such pods is worth: the pods of
// the batch that fit on it and, in the rest of it, the plain pods that wait.
func (p *planner) rank(b *fit.Batch, f *fit.Filler) []*offer {
	type value struct {
		known        bool
		worth, whole float64
	}
	values := make([]value, p.shapes)
	out := make([]*offer, 0, len(p.groups))
	for _, g := range p.groups {
		if p.refuses(g) != "" {
			continue
		}
		var best *offer
		for _, o := range g.options {
			v := &values[o.shape]
			if !v.known {
				v.known = true
				v.worth, v.whole = p.l.Worth(b, f, g.Name, o.zone)
			}
			if v.worth == 0 {
				continue
			}
			cost := v.whole
			if p.priced {
				cost = g.cost
			}
			if worth := v.worth / cost; best == nil || worth > best.worth {
				best = &offer{g: g, worth: worth, size: v.whole}
			}
		}
		if best != nil {
			out = append(out, best)
		}
	}
	return out
}

// openFor opens a node that a pod of the batch fits on, in the zone with the
// fewest pods that it spreads from, of the best group there. In a group of
// several zones that may take several nodes: they come in the order that Auto
// Scaling chooses.
func (p *planner) openFor(b *fit.Batch, ranked []*offer) []int32 {
	tried := make([]bool, len(ranked))
	for {
		best, least := -1, int32(0)
		for i, o := range ranked {
			if tried[i] || p.refuses(o.g) != "" {
				continue
			}
			crowd := p.l.Crowd(b, o.g.Name, p.nextZone(o.g))
			if best < 0 || crowd < least || crowd == least && o.better(ranked[best]) {
				best, least = i, crowd
			}
		}
		if best < 0 {
			return nil
		}
		if opened := p.tryOpen(b, ranked[best].g); len(opened) > 0 {
			return opened
		}
		tried[best] = true
	}
}

// tryOpen opens nodes of the group until a pod of the batch fits on one, and none
// when there is no such node in one round over the group's zones.
func (p *planner) tryOpen(b *fit.Batch, g *group) []int32 {
	before := len(p.opened)
	p.l.Fork()
	for range g.options {
		if p.refuses(g) != "" {
			break
		}
		if n := p.open(g); p.l.Fits(b, n) {
			p.l.Commit()
			g.chosen = true
			return slices.Clone(p.opened[before:])
		}
	}
	p.close(before)
	p.l.Revert()
	return nil
}
