package hooks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Action is what becomes of an instance that is held.
type Action string

// The actions.
const (
	// Continue lets the instance go on.
	Continue Action = "continue"
	// Abandon has the group end the instance and launch another.
	Abandon Action = "abandon"
	// Heartbeat holds the instance for another of the hook's timeouts.
	Heartbeat Action = "heartbeat"
	// Wait leaves everything as it is.
	Wait Action = "wait"
)

// Reason is why.
type Reason string

// The reasons of a decision.
const (
	// Joined: the instance's Node is Ready.
	Joined Reason = "Joined"
	// WarmedUp: the instance ran for as long as it was to.
	WarmedUp Reason = "WarmedUp"
	// Drained: no pod is left on the Node that has to move.
	Drained Reason = "Drained"
	// NoNode: no Node names the instance.
	NoNode Reason = "NoNode"
	// DrainTimeout: pods are left, and there is no more time for them.
	DrainTimeout Reason = "DrainTimeout"
	// JoinTimeout: the instance did not become a Ready Node in its time.
	JoinTimeout Reason = "JoinTimeout"
	// InstanceGone: EC2 ended the instance.
	InstanceGone Reason = "InstanceGone"
	// InstanceStopped: the instance was stopped.
	InstanceStopped Reason = "InstanceStopped"
	// NotKnown: EC2 does not know the instance, or not its address, or what was
	// asked has not answered.
	NotKnown Reason = "NotKnown"
	// NotBound: a Node claims the instance, and the binding says that it is not it.
	NotBound Reason = "NotBound"
	// NotReady: the instance's Node is not Ready yet.
	NotReady Reason = "NotReady"
	// Leaving: the instance's Node is marked for removal.
	Leaving Reason = "Leaving"
	// WarmingUp: the instance is to run for longer.
	WarmingUp Reason = "WarmingUp"
	// Moving: pods are to leave the Node.
	Moving Reason = "Moving"
)

// Decision is what to do about one instance, and why.
type Decision struct {
	Held
	Action  Action
	Reason  Reason
	Message string
	// Warn says that an operator should look.
	Warn bool
	// Drain are the Nodes to mark and to move pods away from.
	Drain []Node
	// Clear is a Node whose mark from an earlier termination is to go; nil for
	// none.
	Clear *Node
	// Again is after how long to look again at the latest.
	Again time.Duration
}

const (
	// poll is how often instances that are held are looked at.
	poll = 10 * time.Second
	// leastPause is the shortest pause between two looks. A pod that the
	// scheduler bound before it saw the mark shows within that.
	leastPause = time.Second
	// stoppedFor is how long EC2 must say that an instance on its way into
	// service is stopped: one that just left a warm pool was.
	stoppedFor = time.Minute
	// margin is left of a hook's global timeout at the end of a drain.
	margin = 30 * time.Second
	// maxNamed bounds how many pods a message names.
	maxNamed = 10
)

// Plan decides about every instance that is held.
func Plan(held []Held, now time.Time, p Policy) []Decision {
	out := make([]Decision, 0, len(held))
	for _, h := range held {
		out = append(out, decide(h, now, p))
	}
	return out
}

func decide(h Held, now time.Time, p Policy) Decision {
	var d Decision
	switch {
	case h.Blind != nil:
		d = h.keep(now, h.First.Add(h.patience(p)), NotKnown, "%v", h.Blind)
	case h.Phase == Warming:
		d = h.warm(now, p)
	case h.Phase == Draining:
		d = h.drain(now, p)
	default:
		d = h.join(now, p)
	}
	d.Again = max(leastPause, min(poll, cmp.Or(d.Again, poll)))
	return d
}

func (h Held) say(a Action, r Reason, format string, args ...any) Decision {
	return Decision{Held: h, Action: a, Reason: r, Message: fmt.Sprintf(format, args...)}
}

// keep holds the instance: with a heartbeat when one is due, which it is at
// first sight, because how long the hook has waited by then is not known.
func (h Held) keep(now, deadline time.Time, r Reason, format string, args ...any) Decision {
	d := h.say(Wait, r, format, args...)
	due := h.Beat.Add(h.Hook.Heartbeat / 2)
	switch {
	case now.Sub(h.First) >= h.Hook.Global || !now.Before(deadline):
		due = now.Add(poll) // no heartbeat helps any more
	case h.Beat.IsZero() || !now.Before(due):
		d.Action, due = Heartbeat, now.Add(h.Hook.Heartbeat/2)
	}
	d.Again = min(due.Sub(now), max(leastPause, deadline.Sub(now)))
	return d
}

// patience is how long an instance is held for while nobody answers.
func (h Held) patience(p Policy) time.Duration {
	switch h.Phase {
	case Warming:
		return p.Lifecycle.WarmUp.Duration + p.Lifecycle.JoinTimeout.Duration
	case Draining:
		return p.Lifecycle.DrainTimeout.Duration
	}
	return p.Lifecycle.JoinTimeout.Duration
}

// join decides about an instance on its way into service.
func (h Held) join(now time.Time, p Policy) Decision {
	if i := h.Instance; i != nil && i.Going() {
		return h.say(Abandon, InstanceGone, "EC2 says that it is %s", i.State)
	} else if i != nil && !i.Alive() && now.Sub(h.First) >= stoppedFor {
		return h.say(Abandon, InstanceStopped, "EC2 says that it is %s", i.State)
	}
	lack, detail := h.lacks(p)
	if lack == "" {
		return h.say(Continue, Joined, "Node %s is Ready", h.bound().Name)
	}
	deadline := h.since().Add(p.Lifecycle.JoinTimeout.Duration)
	if !now.Before(deadline) {
		d := h.say(Abandon, JoinTimeout, "no Ready Node within %s: %s", p.Lifecycle.JoinTimeout.Duration, detail)
		d.Warn = true
		return d
	}
	d := h.say(Wait, lack, "%s", detail)
	d.Again = deadline.Sub(now)
	if h.Instance != nil && h.Instance.Alive() {
		d = h.keep(now, deadline, lack, "%s", detail)
	}
	d.Warn = lack == NotBound
	if n := h.bound(); lack == Leaving && !n.DrainingSince.IsZero() {
		d.Clear = n
	}
	return d
}

// lacks says what is missing for the instance to be a Ready Node; an empty
// reason if nothing is.
func (h Held) lacks(p Policy) (Reason, string) {
	name := h.nodeName(p)
	n := h.bound()
	switch {
	case name == "":
		return NotKnown, "EC2 does not know the instance, or not its address, yet"
	case n == nil && len(h.Nodes) > 0:
		return NotBound, fmt.Sprintf("Node %s claims the instance, and is not it: %s", h.Nodes[0].Name, h.Nodes[0].Standing)
	case n == nil:
		return NoNode, "there is no Node " + name + " yet"
	case !n.Ready:
		return NotReady, "Node " + name + " is not Ready yet"
	case n.ReadyAt.Before(h.Instance.LaunchTime.Truncate(time.Second)):
		return NotReady, "Node " + name + " was Ready before the instance was started and has not said so since"
	case n.Tainted:
		return NotReady, "Node " + name + " still carries the taint " + corev1.TaintNodeNotReady
	case n.Marked:
		return Leaving, "Node " + name + " is marked for removal"
	}
	return "", ""
}

// warm decides about an instance on its way into a warm pool. Its agent waits
// for it to be wanted in service and reports nothing until then.
func (h Held) warm(now time.Time, p Policy) Decision {
	switch {
	case h.Instance == nil:
		return h.say(Wait, NotKnown, "EC2 does not know the instance yet")
	case h.Instance.Going():
		return h.say(Abandon, InstanceGone, "EC2 says that it is %s", h.Instance.State)
	}
	until := h.Instance.LaunchTime.Add(p.Lifecycle.WarmUp.Duration)
	running := h.Instance.State == "running"
	switch {
	case running && !now.Before(until):
		return h.say(Continue, WarmedUp, "it has run for %s", p.Lifecycle.WarmUp.Duration)
	case running:
		return h.keep(now, until, WarmingUp, "it is to run for %s", p.Lifecycle.WarmUp.Duration)
	}
	return h.keep(now, now.Add(poll), WarmingUp, "EC2 says that it is %s", h.Instance.State)
}

// drain decides about an instance on its way out.
func (h Held) drain(now time.Time, p Policy) Decision {
	if i := h.Instance; i != nil && i.Going() {
		return h.say(Continue, InstanceGone, "EC2 says that it is %s", i.State)
	} else if i != nil && !i.Alive() {
		return h.say(Continue, InstanceStopped, "EC2 says that it is %s: no pod runs on it", i.State)
	}
	n := h.bound()
	if n == nil {
		return h.say(Continue, NoNode, "no Node is it")
	}
	nodes, began, settled := []Node{*n}, h.First, true
	var left []string
	for _, n := range nodes {
		if s := n.DrainingSince; n.Marked && !s.IsZero() && s.Before(began) {
			began = s // by an earlier leader; a node that lies cuts its own drain short
		}
		settled = settled && n.Marked && now.Sub(n.DrainingSince) >= leastPause
		for _, pod := range n.Pods {
			left = append(left, pod.Namespace+"/"+pod.Name)
		}
	}
	if settled && len(left) == 0 {
		return h.say(Continue, Drained, "no pod is left on Node %s that has to move", nodes[0].Name)
	}
	deadline := began.Add(min(p.Lifecycle.DrainTimeout.Duration, h.Hook.Global-margin))
	if !now.Before(deadline) {
		d := h.say(Continue, DrainTimeout, "no more time to drain Node %s: %s", nodes[0].Name, list(left))
		d.Warn = true
		return d
	}
	d := h.keep(now, deadline, Moving, "Node %s: %s", nodes[0].Name, list(left))
	d.Drain = nodes
	if !settled {
		d.Again = leastPause
	}
	return d
}

// list names the pods that are left, or says how many more there are.
func list(pods []string) string {
	slices.Sort(pods)
	text := fmt.Sprintf("%d pods left", len(pods))
	if len(pods) == 0 {
		return text
	}
	text += ": " + strings.Join(pods[:min(len(pods), maxNamed)], ", ")
	if len(pods) > maxNamed {
		text += ", …"
	}
	return text
}
