package scaledown

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
)

// ScaleDownDisabled is the annotation by which a Node is never removed.
const ScaleDownDisabled = rules.ScaleDownDisabled

// AgentRefuses says why the node's agent is against the node's going, in the
// same reading of its report that Plan uses. Empty when it is not against it.
func AgentRefuses(node *corev1.Node, now time.Time, empty bool) string {
	return rules.AgentRefuses(node, now, empty)
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
