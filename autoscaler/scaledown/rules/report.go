package rules

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
)

// DefaultReportTimeout is the age from which on a report counts as none, unless
// the options say otherwise.
const DefaultReportTimeout = 5 * time.Minute

// Say is what a node's agent says about the node's going.
type Say int

// What an agent may say.
const (
	// SaysNothing: no agent, or its report is old or of unknown status.
	SaysNothing Say = iota
	// SaysReady: the agent has nothing against it and sees no movable pod. That
	// shortens the wait of an empty node.
	SaysReady
	// SaysPods: pods run, nothing else holds the node.
	SaysPods
	// SaysHold: the node must not go.
	SaysHold
)

// Report reads the condition joinery.dev/ScaleDownReady: what it says, since
// when, and the words for people. A report older than timeout says nothing,
// except what local software asked for: an agent that died while an inhibitor or
// a hold file held its node must not lose it. A timeout of zero is none.
func Report(node *corev1.Node, now time.Time, timeout time.Duration) (s Say, since time.Time, text string) {
	for i := range node.Status.Conditions {
		c := &node.Status.Conditions[i]
		if c.Type != v1alpha1.ScaleDownReady {
			continue
		}
		if s = said(c, now, timeout); s == SaysNothing {
			break
		}
		return s, c.LastTransitionTime.Time, describe(c)
	}
	return SaysNothing, time.Time{}, ""
}

func said(c *corev1.NodeCondition, now time.Time, timeout time.Duration) Say {
	old := timeout > 0 && !c.LastHeartbeatTime.IsZero() && now.Sub(c.LastHeartbeatTime.Time) > timeout
	reason := v1alpha1.ReadyReason(c.Reason)
	switch {
	case c.Status == corev1.ConditionFalse && lasting(reason):
		return SaysHold
	case old:
		return SaysNothing
	case c.Status == corev1.ConditionTrue:
		return SaysReady
	case c.Status == corev1.ConditionFalse && reason == v1alpha1.PodsRunning:
		return SaysPods
	case c.Status == corev1.ConditionFalse:
		return SaysHold
	default:
		return SaysNothing
	}
}

// lasting reports whether a hold for this reason stands until it is taken back.
func lasting(r v1alpha1.ReadyReason) bool {
	return r == v1alpha1.InhibitorHeld || r == v1alpha1.HoldFile
}

// AgentRefuses says why the node's agent is against the node's going: a hold
// always counts, running pods only on a node that is to go empty. Empty when it
// is not against it.
func AgentRefuses(node *corev1.Node, now time.Time, empty bool) string {
	s, _, text := Report(node, now, DefaultReportTimeout)
	if s == SaysHold || s == SaysPods && empty {
		return text
	}
	return ""
}

func describe(c *corev1.NodeCondition) string {
	if c.Message == "" {
		return c.Reason
	}
	return c.Reason + ": " + c.Message
}
