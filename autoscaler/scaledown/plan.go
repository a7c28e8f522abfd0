package scaledown

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// Plan decides which nodes of the snapshot go at now. It leaves the snapshot as
// it was.
func Plan(s *cluster.Snapshot, now time.Time, o Options) Decision {
	checker, err := fit.New(s)
	if err != nil {
		return Decision{Err: err}
	}
	defer checker.Close()
	s.Fork()
	defer s.Revert()
	o = o.withDefaults()
	b := newBudgets(s.PodDisruptionBudgets())
	p := &planner{
		s: s, now: now, o: o, checker: checker, budgets: b,
		drainer:   newDrainer(o, now, b),
		neededBy:  map[string]*corev1.Pod{},
		removable: map[string]int{},
		decision:  Decision{Unneeded: map[string]time.Time{}},
	}
	p.plan()
	return p.decision
}

// planner is one run of Plan.
type planner struct {
	s       *cluster.Snapshot
	now     time.Time
	o       Options
	checker *fit.Checker
	budgets *budgets
	drainer *drainer

	// neededBy: node -> a pod that waits for it or was moved to it.
	neededBy map[string]*corev1.Pod
	// removable: group -> nodes that may still go before its minimum.
	removable map[string]int
	// removing counts the nodes that are on their way out.
	removing int
	// chosen are the nodes to remove, in the order of choice.
	chosen []*candidate

	decision Decision
}

func (p *planner) plan() {
	for i := range p.s.Groups() {
		g := &p.s.Groups()[i]
		p.removable[g.Name] = max(0, min(g.Desired, members(g))-g.Min)
	}
	p.s.Fork()
	p.choose()
	p.s.Revert()
	p.confirm()
	byNode := func(a, b NodeReason) int { return cmp.Compare(a.Node, b.Node) }
	slices.SortFunc(p.decision.Needed, byNode)
	slices.SortFunc(p.decision.Waiting, byNode)
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
func (p *planner) choose() {
	candidates := p.candidates()
	p.placeIncoming(candidates)
	for len(candidates) > 0 {
		best := p.next(candidates)
		c := candidates[best]
		candidates = slices.Delete(candidates, best, best+1)
		p.decide(c)
	}
}

// candidate is a node that nothing but its pods keeps.
type candidate struct {
	node  *cluster.NodeState
	group *cluster.Group
	// toMove are to find another place, toDrop are evicted without one.
	toMove, toDrop []*corev1.Pod
	utilization    float64
	since          time.Time
	// wait says why the node does not go yet though it may be unneeded; empty
	// when its time has come.
	wait  string
	cause Cause
}

func (c *candidate) empty() bool { return len(c.toMove)+len(c.toDrop) == 0 }

// next finds the candidate to decide on: those whose time has come first, empty
// ones before others, then the least used, then from the zone where the group
// has most nodes, then by name. Candidates are in the order of their names.
func (p *planner) next(candidates []*candidate) int {
	best := 0
	for i, c := range candidates[1:] {
		if p.compare(c, candidates[best]) < 0 {
			best = i + 1
		}
	}
	return best
}

func (p *planner) compare(a, b *candidate) int {
	return cmp.Or(
		boolFirst(a.wait == "", b.wait == ""),
		boolFirst(a.empty(), b.empty()),
		cmp.Compare(a.utilization, b.utilization),
		cmp.Compare(p.s.ZoneCount(b.group.Name, b.node.Zone), p.s.ZoneCount(a.group.Name, a.node.Zone)),
		cmp.Compare(a.node.Name(), b.node.Name()),
	)
}

func boolFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// decide tries to do without the node. When that works out, the snapshot goes on
// without it.
func (p *planner) decide(c *candidate) {
	name := c.node.Name()
	if pod := p.neededBy[name]; pod != nil {
		p.needed(c.node, NeededByPods, fmt.Sprintf("pod %s is to run here", cluster.Key(pod)))
		return
	}
	if p.removable[c.group.Name] <= 0 {
		p.needed(c.node, MinSizeReached, fmt.Sprintf("group %s is at its minimum of %d", c.group.Name, c.group.Min))
		return
	}
	if cause, text := p.tryWithout(c); text != "" {
		p.needed(c.node, cause, text)
		return
	}
	p.removable[c.group.Name]--
	p.decision.Unneeded[name] = c.since
	switch {
	case c.wait != "":
		p.waiting(c, c.cause, c.wait)
	case p.removing >= p.o.MaxParallel:
		p.waiting(c, MaxParallelReached, fmt.Sprintf("%d nodes are being removed", p.removing))
	default:
		p.removing++
		p.chosen = append(p.chosen, c)
	}
}

// tryWithout takes the node out of the snapshot and finds a place for its pods
// on the ready nodes that remain. Nothing is changed when it says why not.
func (p *planner) tryWithout(c *candidate) (Cause, string) {
	p.s.Fork()
	if err := p.s.RemoveNode(c.node.Name()); err != nil {
		p.s.Revert()
		return NoPlaceToMovePods, err.Error()
	}
	packer := fit.NewPacker(p.checker, p.targets())
	homes := map[string]*corev1.Pod{}
	for _, pod := range c.toMove {
		home := packer.Place(unboundCopy(pod))
		if home == nil {
			p.s.Revert()
			return NoPlaceToMovePods, fmt.Sprintf("pod %s would find no place on another node", cluster.Key(pod))
		}
		homes[home.Name()] = pod
	}
	if refused := p.budgets.take(slices.Concat(c.toMove, c.toDrop)); refused != "" {
		p.s.Revert()
		return BlockedByPod, refused
	}
	p.s.Commit()
	for node, pod := range homes {
		if p.neededBy[node] == nil {
			p.neededBy[node] = pod
		}
	}
	return "", ""
}

// targets are the nodes that pods may move to: ready ones, those that are
// occupied before empty ones, which may go themselves.
func (p *planner) targets() []*cluster.NodeState {
	var busy, idle []*cluster.NodeState
	for _, n := range p.s.Nodes() {
		switch {
		case n.Unusable != "" || n.Kind != cluster.Joined:
		case p.neededBy[n.Name()] != nil || p.hasMovable(n):
			busy = append(busy, n)
		default:
			idle = append(idle, n)
		}
	}
	return append(busy, idle...)
}

func (p *planner) hasMovable(n *cluster.NodeState) bool {
	for _, pi := range n.Info.GetPods() {
		if p.drainer.counts(pi.GetPod()) {
			return true
		}
	}
	return false
}

// unboundCopy is the pod as its controller will make it anew.
func unboundCopy(pod *corev1.Pod) *corev1.Pod {
	out := *pod
	out.Spec.NodeName = ""
	return &out
}

func (p *planner) removal(c *candidate) Removal {
	r := Removal{
		Node: c.node.Name(), Group: c.group.Name, InstanceID: c.node.Instance.ID, Empty: c.empty(),
		Reason: fmt.Sprintf("empty since %s", c.since.UTC().Format(time.RFC3339)),
	}
	if !r.Empty {
		r.Reason = fmt.Sprintf("used at %.0f %% and its pods fit elsewhere, since %s",
			100*c.utilization, c.since.UTC().Format(time.RFC3339))
	}
	evicted := slices.Concat(c.toMove, c.toDrop)
	slices.SortFunc(evicted, cluster.ComparePods)
	for _, pod := range evicted {
		r.Pods = append(r.Pods, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	}
	return r
}

func (p *planner) needed(n *cluster.NodeState, cause Cause, message string) {
	p.decision.Needed = append(p.decision.Needed, NodeReason{Node: n.Name(), Group: n.Group, Cause: cause, Message: message})
}

func (p *planner) waiting(c *candidate, cause Cause, message string) {
	p.decision.Waiting = append(p.decision.Waiting,
		NodeReason{Node: c.node.Name(), Group: c.group.Name, Cause: cause, Message: message})
}
