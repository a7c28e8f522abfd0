package kube

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Reported reports whether an agent of ours wrote about the Node: it has the annotation
// v1alpha1.NodeReportAnnotation, with any value. It is the node's own claim.
func Reported(n *corev1.Node) bool {
	_, ok := n.Annotations[v1alpha1.NodeReportAnnotation]
	return ok
}

// LocalHold returns the condition by which the node's agent says that local software
// holds the node:
//   - v1alpha1.ScaleDownReady is False with reason InhibitorHeld or HoldFile;
//   - of any age: an agent that died while a lock or a file held its node must not lose
//     the node;
//   - nil otherwise. Other reasons, such as PodsRunning, hold nothing by themselves.
//
// It is the node's own claim, good enough only to leave that node alone.
func LocalHold(n *corev1.Node) *corev1.NodeCondition {
	c := Condition(n, v1alpha1.ScaleDownReady)
	if c == nil || c.Status != corev1.ConditionFalse {
		return nil
	}
	switch v1alpha1.ReadyReason(c.Reason) {
	case v1alpha1.InhibitorHeld, v1alpha1.HoldFile:
		return c
	}
	return nil
}

// SaysDrained reports whether the node's agent says that no pod is left on a node that
// is Marked. It is a reason to look, and proves nothing.
func SaysDrained(n *corev1.Node) bool {
	c := Condition(n, v1alpha1.ScaleDownReady)
	return c != nil && c.Reason == string(v1alpha1.Drained)
}
