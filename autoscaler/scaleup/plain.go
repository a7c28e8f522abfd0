package scaleup

import (
	"cmp"
	"math"
	"slices"

	"github.com/joinery/joinery/autoscaler/fit"
)

// offer is what a new node of a group would bring.
type offer struct {
	g    *group
	load fit.Load
	// ahead is how many nodes come before that one: a group of several zones
	// launches in a zone when its turn comes.
	ahead int
	// worth is the share of the demand that the node answers for its cost.
	worth float64
	// size is the share that it could answer: of offers that are worth the same
	// the larger node makes fewer nodes.
	size float64
}

// better orders offers, the best first. Of equals the group with warm instances,
// then the smaller group, then the first by name. Near-identical groups are equals.
func (o *offer) better(than *offer) bool {
	if than == nil {
		return true
	}
	if o.g.Priority != than.g.Priority {
		return o.g.Priority > than.g.Priority
	}
	twins := o.g.family == than.g.family
	if !twins && !near(o.worth, than.worth) {
		return o.worth > than.worth
	}
	warm := func(o *offer) int { return min(1, max(0, o.g.Warm-o.g.opened)) }
	if w, v := warm(o), warm(than); w != v {
		return w > v
	}
	if !twins && !near(o.size, than.size) {
		return o.size > than.size
	}
	return cmp.Or(cmp.Compare(o.g.Desired+o.g.opened, than.g.Desired+than.g.opened), cmp.Compare(o.g.Name, than.g.Name)) < 0
}

// alike reports whether two offers are equals: those of near-identical groups, and those
// that are worth the same and are filled in the same way.
func (o *offer) alike(best *offer) bool {
	return o.g.family == best.g.family || o.g.Priority == best.g.Priority && near(o.worth, best.worth) && slices.Equal(o.load, best.load)
}

// near hides what rounding makes of equal figures.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b)) }

// growPlain opens nodes for the pods that are left in the Filler, each time of the
// group that answers most of the demand for its cost, as many at once as the
// waiting pods fill in the same way.
func (p *planner) growPlain(f *fit.Filler) {
	for f.Left() > 0 {
		offers := p.offers(f)
		if len(offers) == 0 {
			return
		}
		best := offers[0]
		alike := offers[:0:0]
		for _, o := range offers {
			if o.better(best) {
				best = o
			}
		}
		for _, o := range offers {
			if o.ahead == best.ahead && o.alike(best) {
				alike = append(alike, o)
			}
		}
		before := len(p.opened)
		p.openAlike(f, best, alike)
		if len(p.opened) == before {
			return
		}
	}
}

// openAlike opens nodes of groups whose offers are alike, in turn of the smaller,
// so that similar groups stay in balance.
func (p *planner) openAlike(f *fit.Filler, best *offer, alike []*offer) {
	if best.ahead > 0 {
		for range best.ahead {
			if p.refuses(best.g) != "" {
				return
			}
			p.bins.Add(p.open(best.g))
		}
		alike = []*offer{best}
	}
	for times := f.Times(best.load); times > 0; times-- {
		var next *offer
		for _, o := range alike {
			if p.refuses(o.g) == "" && (next == nil || o.better(next)) {
				next = o
			}
		}
		// Loads of near-identical groups may differ a little.
		if next == nil || f.Times(next.load) == 0 {
			return
		}
		n := p.open(next.g)
		next.g.chosen = true
		p.bins.Add(n)
		if !f.Takes(next.load, n) {
			return
		}
		f.Put(next.load, n)
		if best.ahead > 0 {
			return
		}
	}
}

// offers are the groups' offers that answer some of the demand. Options that are
// alike are worked out once.
func (p *planner) offers(f *fit.Filler) []*offer {
	known := map[int]fit.Load{}
	var out []*offer
	for _, g := range p.groups {
		if len(g.options) == 0 || p.refuses(g) != "" {
			continue
		}
		if o := p.offer(f, g, known); o != nil {
			out = append(out, o)
		}
	}
	return out
}

// offer finds what the group's next nodes would bring, up to the first that takes
// a pod.
func (p *planner) offer(f *fit.Filler, g *group, known map[int]fit.Load) *offer {
	for ahead, o := range p.nextOptions(g) {
		shape, zone := o.shape, o.zone
		load, ok := known[shape]
		if !ok {
			load = slices.Clone(f.LoadOfNew(g.Name, zone))
			known[shape] = load
		}
		demand := f.Demand(load)
		if demand == 0 {
			continue
		}
		cost := p.cost(g, zone, f) * float64(ahead+1)
		return &offer{g: g, load: load, ahead: ahead, worth: demand / cost, size: f.Share(p.l.NewCapacity(g.Name, zone))}
	}
	return nil
}

// nextOptions are the group's options in the order in which Auto Scaling would
// launch its next instances.
func (p *planner) nextOptions(g *group) []option {
	if len(g.options) == 1 {
		return g.options
	}
	out := make([]option, 0, len(g.options))
	for _, zone := range p.l.NextZones(g.Name) {
		out = append(out, g.options[slices.IndexFunc(g.options, func(o option) bool { return o.zone == zone })])
	}
	return out
}
