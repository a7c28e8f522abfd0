package scaledown

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// Plan decides which nodes of the snapshot go at now.
func Plan(s *cluster.Snapshot, now time.Time, o Options) Decision {
	o = o.withDefaults()
	b := newBudgets(s.PodDisruptionBudgets(), s.MaxClassID(), o.DrainTimeout)
	p := &planner{
		s: s, now: now, o: o, budgets: b, rules: o.context(now, b),
		groups:   make(map[string]*group, len(s.Groups())),
		decision: Decision{Unneeded: map[string]time.Time{}},
	}
	p.plan()
	return p.decision
}

// planner is one run of Plan.
type planner struct {
	s       *cluster.Snapshot
	now     time.Time
	o       Options
	budgets *budgets
	rules   *ruleContext
	groups  map[string]*group
	// frugal are the groups that keep headroom, by name.
	frugal []*group
	l      *fit.Ledger
	moves  *mover

	// arriving are the pods that wait for a place, and those of leaving nodes, which
	// will. leaving are the nodes in the ledger that were drained and are still there.
	arriving []cluster.Pod
	leaving  []int32
	// neededBy: node -> a pod that waits for it or was moved to it.
	neededBy []*cluster.Pod
	// removing counts the nodes that are on their way out, draining those of them
	// with pods that have to leave.
	removing, draining int
	// system: controller of pods of kube-system that no budget covers -> a node
	// of its pods that is on its way out.
	system map[types.UID]string
	// chosen are the nodes to remove, in the order of choice.
	chosen []*candidate

	// brake is Snapshot.Brake.
	brake string

	decision Decision
}

// group is a group with what the plan has taken from it.
type group struct {
	*cluster.Group
	// spare is how many nodes may still go before fewer than the minimum are usable,
	// room how many instances before AWS launches others.
	spare, room int
	// surplus is how many are to go by the operator's word, however full they are.
	surplus int
	// gone: zone -> nodes that the plan takes.
	gone map[string]int
	// nodes are the group's, in the ledger.
	nodes []int32
}

func (p *planner) plan() {
	usable := map[string]int{} // group -> nodes that pods can run on
	for _, n := range p.s.Nodes() {
		if n.Usable() {
			usable[n.Group]++
		}
	}
	p.brake = p.s.Brake()
	p.decision.Brake = p.brake
	for i := range p.s.Groups() {
		g := &p.s.Groups()[i]
		surplus := g.Surplus()
		room := max(0, min(g.Desired, members(g))-g.Min) + surplus
		p.groups[g.Name] = &group{Group: g, spare: min(room, max(0, usable[g.Name]-g.Min)), room: room, surplus: surplus, gone: map[string]int{}}
		if g.Headroom > 0 && g.Template != nil {
			p.frugal = append(p.frugal, p.groups[g.Name])
		}
	}
	p.system = map[types.UID]string{}
	p.arriving = slices.Concat(p.s.Incoming(), p.s.Displaced())
	candidates := p.candidates()
	if len(candidates) > 0 {
		p.choose(candidates)
	}
	byNode := func(a, b NodeReason) int { return cmp.Compare(a.Node, b.Node) }
	slices.SortFunc(p.decision.Needed, byNode)
	slices.SortFunc(p.decision.Waiting, byNode)
	slices.SortFunc(p.decision.Holds, func(a, b Hold) int { return cmp.Compare(a.Node, b.Node) })
}

// members are the instances that the group has. Capacity that AWS owes it (no
// capacity in the zone) keeps no minimum.
func members(g *cluster.Group) int {
	n := 0
	for i := range g.Instances {
		if in := &g.Instances[i]; !in.Leaving() && !in.OutOfService() {
			n++
		}
	}
	return n
}

// choose finds the unneeded nodes and those whose time has come.
func (p *planner) choose(candidates []*candidate) {
	l, err := fit.NewLedger(p.s, p.o.Profile, p.classes(candidates))
	if err != nil {
		p.decision.Err = err
		return
	}
	p.l, p.neededBy = l, make([]*cluster.Pod, l.Len())
	for n := range int32(l.Len()) {
		if l.State(n).Leaving() {
			l.Drain(n)
			p.leaving = append(p.leaving, n)
		}
	}
	order := runs(candidates)
	p.moves = newMover(p, candidates, order)
	l.Fork()
	p.placeIncoming()
	for _, run := range order {
		for c := run.next(p); c != nil; c = run.next(p) {
			p.decide(c)
		}
	}
	l.Revert()
	p.confirm()
}

// classes are those of all pods that the plan may place, by key.
func (p *planner) classes(candidates []*candidate) []*cluster.Class {
	seen := map[*cluster.Class]bool{}
	var out []*cluster.Class
	add := func(c *cluster.Class) {
		if !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	for _, c := range candidates {
		for i := range c.toMove {
			add(c.toMove[i].Class)
		}
	}
	for i := range p.arriving {
		add(p.arriving[i].Class)
	}
	slices.SortFunc(out, func(a, b *cluster.Class) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

func (p *planner) needed(n *cluster.NodeState, cause Cause, message string) {
	p.decision.Needed = append(p.decision.Needed, NodeReason{Node: n.Name(), Group: n.Group, Cause: cause, Message: message})
}

func (p *planner) waiting(c *candidate, cause Cause, message string) {
	p.decision.Waiting = append(p.decision.Waiting,
		NodeReason{Node: c.node.Name(), Group: c.group.Name, Cause: cause, Message: message})
}

// waitingUntil is waiting for a candidate whose time has not come.
func (p *planner) waitingUntil(c *candidate) {
	p.waiting(c, c.cause, c.wait)
	p.decision.Waiting[len(p.decision.Waiting)-1].Until = c.until
}
