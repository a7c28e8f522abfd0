package rules

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/quote"
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
// when, and the words for people.
//   - What local software asked for holds the node, however old the report is: an agent
//     that died while an inhibitor or a hold file held its node must not lose it.
//   - Anything else says nothing once it is older than timeout; zero is no timeout.
//   - Nor does it say anything while the kubelet is not Ready: the agent outlives its
//     kubelet, and goes on to say that the node is Joining.
func Report(node *corev1.Node, now time.Time, timeout time.Duration) (s Say, since time.Time, text string) {
	c := kube.Condition(node, v1alpha1.ScaleDownReady)
	if c == nil {
		return SaysNothing, time.Time{}, ""
	}
	if hold := kube.LocalHold(node); hold != nil {
		return SaysHold, hold.LastTransitionTime.Time, describe(hold)
	}
	old := timeout > 0 && !c.LastHeartbeatTime.IsZero() && now.Sub(c.LastHeartbeatTime.Time) > timeout
	if ready := kube.Condition(node, corev1.NodeReady); old || ready != nil && ready.Status != corev1.ConditionTrue {
		return SaysNothing, time.Time{}, ""
	}
	switch {
	case c.Status == corev1.ConditionTrue:
		s = SaysReady
	case c.Status == corev1.ConditionFalse && v1alpha1.ReadyReason(c.Reason) == v1alpha1.PodsRunning:
		s = SaysPods
	case c.Status == corev1.ConditionFalse:
		s = SaysHold
	default:
		return SaysNothing, time.Time{}, ""
	}
	return s, c.LastTransitionTime.Time, describe(c)
}

func describe(c *corev1.NodeCondition) string {
	if c.Message == "" {
		return quote.Name(c.Reason)
	}
	return quote.Name(c.Reason) + ": " + quote.Text(c.Message)
}
