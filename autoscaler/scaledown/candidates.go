package scaledown

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
)

// candidate is a node that nothing but its pods keeps.
type candidate struct {
	node  *cluster.NodeState
	at    int32 // place in the ledger
	group *group
	// toMove are to find another place, toDrop are evicted without one.
	toMove, toDrop []cluster.Pod
	utilization    float64
	since          time.Time
	// wait says why the node does not go yet though it may be unneeded; empty
	// when its time has come.
	wait  string
	cause Cause
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
			ReportTimeout: o.ReportTimeout,
		},
		Covered: b.covers, Replicas: o.Replicas,
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
		if facts.InGroup && facts.Departing() {
			p.departing(n)
		}
		c := &candidate{node: n, at: int32(at), group: p.groups[n.Group]}
		cause, text := p.rules.Node(facts)
		if cause == NotReady && p.lost(c) {
			cause, text = "", ""
		} else if text == "" {
			cause, text = p.look(c)
		}
		if text != "" {
			p.needed(n, cause, text)
			continue
		}
		out = append(out, c)
	}
	return out
}

func factsOf(n *cluster.NodeState) rules.NodeFacts {
	f := rules.NodeFacts{
		Node: n.Node(), InGroup: n.Group != "" && n.Instance != nil,
		Starting: n.Kind == cluster.Starting, Unusable: n.Unusable,
	}
	if n.Instance != nil {
		f.LifecycleState, f.Leaving = n.Instance.LifecycleState, n.Instance.Leaving()
	}
	return f
}

// departing counts a node that somebody has begun to remove.
func (p *planner) departing(n *cluster.NodeState) {
	p.removing++
	// Auto Scaling lowers the desired capacity when it starts to terminate; until
	// then the node still counts in it.
	if !n.Instance.Leaving() {
		p.groups[n.Group].spare--
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
	if pod.Namespace != metav1.NamespaceSystem || cluster.OwnedByDaemonSet(pod.Pod) || len(p.budgets.of(pod.Class)) > 0 {
		return ""
	}
	if ref := metav1.GetControllerOfNoCopy(pod.Pod); ref != nil {
		return ref.UID
	}
	return ""
}

// lost reports whether the node has been without a Ready kubelet for
// Options.UnreadyTime and holds nothing that would have to move. What runs on a
// lost node cannot be drained, so one with pods is left to the operator; so is one
// that local software held when it was last heard of.
func (p *planner) lost(c *candidate) bool {
	n := c.node
	if said, _, _ := rules.Report(n.Node(), p.now, p.o.ReportTimeout); said == rules.SaysHold {
		return false
	}
	if n.Unusable == "" || n.Kind != cluster.Joined || n.Node().DeletionTimestamp != nil || !n.Empty() || p.o.UnreadyTime == never {
		return false
	}
	for _, cond := range n.Node().Status.Conditions {
		if cond.Type != corev1.NodeReady || cond.Status == corev1.ConditionTrue || cond.LastTransitionTime.IsZero() {
			continue
		}
		delay := p.o.UnreadyTime
		if o := c.group.ScaleDown.UnreadyTime; o != nil {
			delay = *o
		}
		c.since = cond.LastTransitionTime.Time
		c.setWait(p.now, delay, time.Time{})
		return true
	}
	return false
}

// look judges the node's use and its pods and finds out when it may go.
func (p *planner) look(c *candidate) (Cause, string) {
	c.utilization = p.utilization(c)
	threshold := p.threshold(c)
	said, since, _ := rules.Report(c.node.Node(), p.now, p.o.ReportTimeout)
	if c.utilization >= threshold && p.holdsPods(c.node) {
		return NotUnderutilized, fmt.Sprintf("used at %.0f %%, from %.0f %% on a node stays", 100*c.utilization, 100*threshold)
	}
	if blocked := p.judge(c); blocked != "" {
		return BlockedByPod, blocked
	}
	if c.empty() && said == rules.SaysPods {
		return Held, "its agent still sees pods running"
	}
	if c.empty() && said == rules.SaysReady {
		c.since = since
		c.setWait(p.now, p.o.IdleDelay, time.Time{})
		return "", ""
	}
	c.since = unneededSince(c.node.Node())
	if c.since.IsZero() || c.since.After(p.now) {
		c.since = p.now
	}
	delay := p.o.UnneededTime
	if o := c.group.ScaleDown.UnneededTime; o != nil {
		delay = *o
	}
	c.setWait(p.now, delay, p.coolDown(c.group))
	return "", ""
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

// setWait works out what the node still waits for.
func (c *candidate) setWait(now time.Time, delay time.Duration, held time.Time) {
	ready := c.since.Add(delay)
	switch {
	case now.Before(ready):
		c.cause = NotUnneededLong
		c.wait = "unneeded, may go from " + ready.UTC().Format(time.RFC3339)
	case now.Before(held):
		c.cause = RecentlyAdded
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
