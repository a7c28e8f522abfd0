package scaleup

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// group is a group with what the plan has opened of it.
type group struct {
	*cluster.Group
	options []option
	opened  int
	// chosen says that a node was opened for its own sake, not only so that a zone has
	// its turn.
	chosen bool
	// adds is what a node of the group adds to the cluster.
	adds cluster.Amounts
	// family is the same for near-identical groups, see Balance.
	family int
	// cost of a node, in US dollars an hour, see setCosts. Estimated says that the
	// group's own price is not known.
	cost      float64
	estimated bool
}

// option is a zone of a group that new nodes may be in.
type option struct {
	zone string
	// shape is the same for options whose empty nodes are alike to the packer,
	// place for those that are in the same zone as well.
	shape, place int
}

// limits are sums over the nodes of the cluster.
type limits struct {
	nodes           int
	milliCPU, bytes int64
}

func (p *planner) setGroups() {
	p.byName = make(map[string]*group, len(p.s.Groups()))
	shapes, places := map[string]int{}, map[string]int{}
	for i := range p.s.Groups() {
		g := &group{Group: &p.s.Groups()[i]}
		p.groups = append(p.groups, g)
		p.byName[g.Name] = g
		if g.Template == nil {
			continue
		}
		g.adds = cluster.AmountsOf(g.Template.Allocatable)
		zones := g.Zones
		if len(zones) == 0 {
			zones = []string{""}
		}
		for _, zone := range zones {
			key := p.l.NewShape(g.Name, zone)
			shape, ok := shapes[key]
			if !ok {
				shape = len(shapes)
				shapes[key] = shape
			}
			key = zone + "\x00" + key
			place, ok := places[key]
			if !ok {
				place = len(places)
				places[key] = place
			}
			g.options = append(g.options, option{zone, shape, place})
		}
	}
	p.shapes, p.places = len(shapes), len(places)
	p.setFamilies()
	for _, st := range p.s.Nodes() {
		p.used.nodes++
		p.used.milliCPU += st.Allocatable.MilliCPU
		p.used.bytes += st.Allocatable.Memory
	}
}

// closed says why no node at all may be added to the group, whatever the plan
// has done. Empty when some may.
func (p *planner) closed(g *cluster.Group) string {
	switch {
	case g.Template == nil:
		return templateReason(g)
	case g.Suspends(cluster.ProcessLaunch):
		return "its process Launch is suspended"
	case g.BackedOff(p.now):
		return backoffReason(g)
	case g.Unhealthy != "":
		return g.Unhealthy
	}
	return ""
}

// refuses says why not one more node of the group may be opened, whatever the
// pod. Empty when one may.
func (p *planner) refuses(g *group) string {
	if why := p.closed(g.Group); why != "" {
		return why
	}
	if why := p.onTrial(g); why != "" {
		return why
	}
	switch {
	case g.Desired+g.opened >= g.Max:
		return fmt.Sprintf("max size %d reached", g.Max)
	case len(p.opened) >= p.o.maxNodesPerPlan():
		return fmt.Sprintf("the plan is at its bound of %d new nodes", p.o.maxNodesPerPlan())
	case p.o.MaxNodesTotal > 0 && p.used.nodes >= p.o.MaxNodesTotal:
		return fmt.Sprintf("the cluster is at its bound of %d nodes", p.o.MaxNodesTotal)
	case p.o.MaxCores > 0 && p.used.milliCPU+g.adds.MilliCPU > 1000*p.o.MaxCores:
		return fmt.Sprintf("the cluster is at its bound of %d cores", p.o.MaxCores)
	case p.o.MaxMemory > 0 && p.used.bytes+g.adds.Memory > p.o.MaxMemory:
		return fmt.Sprintf("the cluster is at its bound of %s memory", resource.NewQuantity(p.o.MaxMemory, resource.BinarySI))
	}
	return ""
}

// onTrial says why a group that failed gets no further node for now: one is tried,
// and has not shown yet that it helps.
func (p *planner) onTrial(g *group) string {
	if g.Trial != "" && (g.chosen || p.coming(g, func(*cluster.NodeState) bool { return true })) {
		return "it is tried with one node after: " + g.Trial
	}
	if len(g.TrialZones) == 0 {
		return ""
	}
	zone := p.nextZone(g)
	cause := g.TrialZones[zone]
	if cause != "" && (p.l.Added(g.Name, zone) > 0 || p.coming(g, func(st *cluster.NodeState) bool { return st.Instance == nil && st.Zone == zone })) {
		return "zone " + zone + " is tried with one instance after: " + cause
	}
	return ""
}

// coming reports whether a node of the group is on its way that is one of those meant.
func (p *planner) coming(g *group, meant func(*cluster.NodeState) bool) bool {
	return slices.ContainsFunc(p.s.Nodes(), func(st *cluster.NodeState) bool {
		return st.Group == g.Name && (st.Kind == cluster.Upcoming || st.Kind == cluster.Starting) && meant(st)
	})
}

// open adds a node of the group in the zone that Auto Scaling would choose.
func (p *planner) open(g *group) int32 {
	n := p.l.OpenNext(g.Name)
	g.opened++
	p.opened = append(p.opened, n)
	p.used.nodes++
	p.used.milliCPU += g.adds.MilliCPU
	p.used.bytes += g.adds.Memory
	return n
}

// close forgets the nodes that were opened since there were so many. The ledger
// must be reverted as well.
func (p *planner) close(n int) {
	for _, node := range p.opened[n:] {
		g := p.byName[p.l.State(node).Group]
		g.opened--
		g.chosen = g.opened > 0
		p.used.nodes--
		p.used.milliCPU -= g.adds.MilliCPU
		p.used.bytes -= g.adds.Memory
	}
	p.opened = p.opened[:n]
}

// cost is what a node of the group costs, in whatever the plan compares by: its
// price, or the share of the demand that it could answer.
func (p *planner) cost(g *group, zone string, f *fit.Filler) float64 {
	if p.priced {
		return g.cost
	}
	return f.Share(p.l.NewCapacity(g.Name, zone))
}

// nextZone is where Auto Scaling would launch the group's next instance.
func (p *planner) nextZone(g *group) string {
	if len(g.options) == 1 {
		return g.options[0].zone
	}
	return p.l.NextZone(g.Name)
}
