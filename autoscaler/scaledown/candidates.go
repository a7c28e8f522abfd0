package scaledown

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
	"github.com/joinery/joinery/internal/kube"
)

// candidate is a node that nothing but its pods keeps.
type candidate struct {
	node  *cluster.NodeState
	at    int32 // place in the ledger
	group *group
	// toMove are to find another place, toDrop are evicted without one.
	toMove, toDrop []cluster.Pod
	utilization    float64
	// full says why the node stays unless its group has a surplus; empty when it may go
	// in any case.
	full string
	// unneeded is since when the node has been unneeded by the controller's own
	// record, since what the plan says it has been: it may be the node's word.
	unneeded, since time.Time
	// wait says why the node does not go yet though it may be unneeded; empty
	// when its time has come.
	wait  string
	cause Cause
	// until is when wait ends.
	until time.Time
	// lost: the node's kubelet is silent, see lost.
	lost bool
	// held: the node holds itself, and that counts. noted: the decision has the hold.
	held, noted bool
}

func (c *candidate) empty() bool { return len(c.toMove)+len(c.toDrop) == 0 }

// ruleContext is the rules' context with what a plan knows besides.
type ruleContext struct{ rules.Context }

func (o Options) context(now time.Time, b *budgets) *ruleContext {
	return &ruleContext{rules.Context{
		Now: now,
		Options: rules.Options{
			MoveLocalStorage: o.MoveLocalStorage, MoveSystemPods: o.MoveSystemPods,
			MoveCustomControllerPods: o.MoveCustomControllerPods, MinReplicaCount: o.MinReplicaCount,
			ReportTimeout: o.ReportTimeout, MaxHold: o.MaxHold, MaxGrace: o.MaxGrace,
		},
		Covered: b.covers, Owner: o.Owner,
	}}
}

// candidates finds the nodes that may be unneeded, by name, and reports why the
// others stay.
func (p *planner) candidates() []*candidate {
	var out []*candidate
	for at, n := range p.s.Nodes() {
		if g := p.groups[n.Group]; g != nil {
			g.nodes = append(g.nodes, int32(at))
		}
		if n.Kind != cluster.Joined && n.Kind != cluster.Starting {
			continue
		}
		facts := factsOf(n)
		if facts.InGroup && facts.Departing(p.now) {
			p.departing(n)
		}
		c := &candidate{node: n, at: int32(at), group: p.groups[n.Group]}
		if facts.InGroup {
			p.noteHold(c, n.Empty())
		}
		cause, text := p.rules.Node(facts)
		if text == "" && c.group.Suspends(cluster.ProcessTerminate) {
			cause, text = Disabled, "the process Terminate of group "+c.group.Name+" is suspended"
		}
		if r := refreshOf(c); text == "" && r != nil {
			cause, text = InstanceRefresh, fmt.Sprintf("an instance refresh of group %s is under way (%s, %d %%)", c.group.Name, r.Status, r.Done)
		}
		if cause == NotReady && p.lost(c) {
			cause, text = "", ""
		} else if text == "" {
			cause, text = p.look(c)
		}
		if text != "" {
			p.needed(n, cause, text)
			p.goesOn(c, cause)
			continue
		}
		out = append(out, c)
	}
	return out
}

func refreshOf(c *candidate) *cluster.Refresh {
	if c.group == nil {
		return nil
	}
	return c.group.Refresh
}

// goesOn keeps the recorded time of a node that stays by its own word alone: it would
// begin to wait again with each of these words. A wait that was not recorded does not
// begin by them.
func (p *planner) goesOn(c *candidate, cause Cause) {
	since := c.unneeded
	if cause == NotReady || cause == NotBound {
		since = rules.UnneededSince(c.node.Node())
	}
	if !since.IsZero() && !since.After(p.now) {
		p.decision.Unneeded[c.node.Name()] = since
	}
}

// noteHold reports whether the node holds itself and that counts, and has the
// decision tell of the hold. empty is whether no pod is known there that counts.
func (p *planner) noteHold(c *candidate, empty bool) bool {
	h, held := p.rules.Hold(c.node.Node(), empty)
	if held && !c.noted {
		c.noted = true
		p.decision.Holds = append(p.decision.Holds, Hold{Node: c.node.Name(), Text: h.Text, Since: h.Since, Until: h.Until, State: h.State, Pods: h.Pods})
	}
	c.held = held && h.Counts()
	return c.held
}

func factsOf(n *cluster.NodeState) rules.NodeFacts {
	f := rules.NodeFacts{
		Node: n.Node(), InGroup: n.Group != "" && n.Instance != nil,
		Starting: n.Kind == cluster.Starting, Unusable: n.Unusable, Excluded: n.Excluded,
	}
	if n.Instance != nil {
		f.LifecycleState, f.Leaving = n.Instance.LifecycleState, n.Instance.Leaving()
	}
	return f
}

// departing counts a node that somebody has begun to remove.
func (p *planner) departing(n *cluster.NodeState) {
	p.removing++
	if p.holdsPods(n) {
		p.draining++
	}
	// Auto Scaling lowers the desired capacity when it starts to terminate; until
	// then the node still counts in it.
	if !n.Instance.Leaving() {
		g := p.groups[n.Group]
		g.spare--
		g.room--
		g.surplus = max(0, g.surplus-1)
	}
	for i := range n.Residents {
		if owner := p.uncovered(n.Residents[i]); owner != "" {
			p.system[owner] = n.Name()
		}
	}
}

// uncovered gives the controller of a pod of kube-system that no disruption
// budget covers; empty for all other pods.
func (p *planner) uncovered(pod cluster.Pod) types.UID {
	if pod.Namespace != metav1.NamespaceSystem || kube.DaemonSetPod(pod.Pod) || len(p.budgets.of(pod.Class)) > 0 {
		return ""
	}
	if ref := metav1.GetControllerOfNoCopy(pod.Pod); ref != nil {
		return ref.UID
	}
	return ""
}

// unneededSince is what the controller recorded; now when it has not, or what is
// recorded cannot be.
func (p *planner) unneededSince(n *cluster.NodeState) time.Time {
	if t := rules.UnneededSince(n.Node()); !t.IsZero() && !t.After(p.now) {
		return t
	}
	return p.now
}

// unneededTime is how long a node of the candidate's group has to be unneeded.
func (p *planner) unneededTime(c *candidate) time.Duration {
	if o := c.group.ScaleDown.UnneededTime; o != nil {
		return *o
	}
	return p.o.UnneededTime
}

// look judges the node's use and its pods and finds out when it may go.
func (p *planner) look(c *candidate) (Cause, string) {
	c.utilization = p.utilization(c)
	threshold := p.threshold(c)
	said, since, _ := rules.Report(c.node.Node(), p.now, p.o.ReportTimeout)
	if c.utilization >= threshold && p.holdsPods(c.node) {
		c.full = fmt.Sprintf("used at %.0f %%, from %.0f %% on a node stays", 100*c.utilization, 100*threshold)
		if c.group.surplus == 0 {
			return NotUnderutilized, c.full
		}
	}
	if blocked := p.judge(c); blocked != "" {
		return BlockedByPod, blocked
	}
	if stays := p.stays(c); stays != "" {
		return MovedInVain, stays
	}
	c.unneeded = p.unneededSince(c.node)
	if c.empty() && said == rules.SaysPods && p.noteHold(c, true) {
		// The record goes on, but an honest node must not go the moment it falls silent.
		if delay := p.unneededTime(c); p.now.Sub(c.unneeded) > 2*delay {
			c.unneeded = p.now.Add(-delay)
		}
		return Held, "its agent still sees pods running"
	}
	if c.empty() && said == rules.SaysReady {
		c.since = since
		c.waitByWord(p.now, p.o.IdleDelay, max(p.o.IdleDelay, p.unneededTime(c)))
		return "", ""
	}
	c.since = c.unneeded
	c.setWait(p.now, c.since.Add(p.unneededTime(c)), p.coolDown(c.group))
	return "", ""
}

// stays returns why the pods of the node are not moved. Nodes that go by the operator's
// word are not asked about.
func (p *planner) stays(c *candidate) string {
	if p.o.Stays == nil || c.group.surplus > 0 {
		return ""
	}
	for i := range c.toMove {
		if why := p.o.Stays(c.toMove[i].Class); why != "" {
			return "pod " + cluster.Key(c.toMove[i].Pod).String() + ": " + why
		}
	}
	return ""
}

// coolDown is until when the group keeps its nodes after something happened to
// it.
func (p *planner) coolDown(g *group) time.Time {
	var until time.Time
	for _, e := range [...]struct {
		at    time.Time
		delay time.Duration
	}{
		{g.LastScaleUp, p.o.DelayAfterAdd},
		{g.LastScaleDown, p.o.DelayAfterDelete},
		{g.LastScaleDownFailure, p.o.DelayAfterFailure},
	} {
		if end := e.at.Add(e.delay); !e.at.IsZero() && end.After(until) {
			until = end
		}
	}
	return until
}

// waitByWord has the node wait for delay from the time that it reports, but no longer
// than most from the time that the controller recorded. A node that always reports now,
// the future or no time would stay indefinitely.
func (c *candidate) waitByWord(now time.Time, delay, most time.Duration) {
	ready := c.unneeded.Add(most)
	if told := c.since.Add(delay); !c.since.IsZero() && told.Before(ready) {
		ready = told
	}
	if c.since.IsZero() || c.since.After(now) {
		c.since = c.unneeded
	}
	c.setWait(now, ready, time.Time{})
}

// setWait works out what the node still waits for.
func (c *candidate) setWait(now, ready, held time.Time) {
	switch {
	case now.Before(ready):
		c.cause, c.until = NotUnneededLong, ready
		c.wait = "unneeded, may go from " + ready.UTC().Format(time.RFC3339)
	case now.Before(held):
		c.cause, c.until = RecentlyAdded, held
		c.wait = "its group has just grown or shrunk, may go from " + held.UTC().Format(time.RFC3339)
	}
}

// holdsPods reports whether a pod counts as running on the node.
func (p *planner) holdsPods(n *cluster.NodeState) bool {
	for i := range n.Residents {
		if o, _, _ := p.rules.Judge(n.Residents[i].Pod); o != rules.Ignore && o != rules.Evict {
			return true
		}
	}
	return false
}

// judge sorts the pods of a node: those to move, those that are evicted without
// needing a place; it says what blocks, if something does.
func (p *planner) judge(c *candidate) (blocked string) {
	for _, pod := range c.node.Residents {
		o, _, why := p.rules.Judge(pod.Pod)
		if o == rules.Move {
			pod.Class = p.s.WithVolumes(pod)
			if v := pod.Class.Volumes; pod.Class.Unsupported != "" {
				o, why = rules.Block, "cannot be simulated: "+pod.Class.Unsupported
			} else if v != nil && v.Refused != "" {
				o, why = rules.Block, "cannot be simulated: "+v.Refused
			}
		}
		switch o {
		case rules.Block:
			return fmt.Sprintf("pod %s %s", cluster.Key(pod.Pod), why)
		case rules.Drop:
			c.toDrop = append(c.toDrop, pod)
		case rules.Move:
			c.toMove = append(c.toMove, pod)
		}
	}
	return ""
}
