package scaledown

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
)

// say is what a node's agent says about the node's going.
type say int

const (
	// saysNothing: no agent, or its report is old or of unknown status.
	saysNothing say = iota
	// saysReady: the agent has nothing against it and sees no movable pod.
	saysReady
	// saysPods: pods run, nothing else holds the node.
	saysPods
	// saysHold: the node must not go.
	saysHold
)

// agentReport reads the condition joinery.dev/ScaleDownReady: what it says,
// since when, and the words for people. A hold does not age: an agent that died
// while local software held its node must not lose it.
func agentReport(node *corev1.Node, now time.Time, timeout time.Duration) (s say, since time.Time, text string) {
	for _, c := range node.Status.Conditions {
		if c.Type != v1alpha1.ScaleDownReady {
			continue
		}
		since = c.LastTransitionTime.Time
		stale := timeout > 0 && !c.LastHeartbeatTime.IsZero() && now.Sub(c.LastHeartbeatTime.Time) > timeout
		switch {
		case c.Status == corev1.ConditionFalse && c.Reason != string(v1alpha1.PodsRunning):
			return saysHold, since, describe(c)
		case stale || c.Status == corev1.ConditionUnknown:
			return saysNothing, time.Time{}, ""
		case c.Status == corev1.ConditionTrue:
			return saysReady, since, describe(c)
		default:
			return saysPods, since, describe(c)
		}
	}
	return saysNothing, time.Time{}, ""
}

// AgentRefuses says why the node's agent is against the node's going, in the
// same reading of its report that Plan uses: a hold always counts, running pods
// only on a node that is to go empty and in a report that is not old. Empty when
// it is not against it.
func AgentRefuses(node *corev1.Node, now time.Time, empty bool) string {
	said, _, text := agentReport(node, now, defaultReportTimeout)
	if said == saysHold || said == saysPods && empty {
		return text
	}
	return ""
}

func describe(c corev1.NodeCondition) string {
	if c.Message == "" {
		return c.Reason
	}
	return c.Reason + ": " + c.Message
}

// unneededSince reads the node's annotation, zero when there is none that can be
// read.
func unneededSince(node *corev1.Node) time.Time {
	t, err := time.Parse(time.RFC3339, node.Annotations[v1alpha1.UnneededSinceAnnotation])
	if err != nil {
		return time.Time{}
	}
	return t
}
