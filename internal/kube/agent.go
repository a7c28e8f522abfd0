package kube

import (
	"slices"
	"strings"

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
//   - or it is False with reason Joining, and the node report lists holds: an agent of an
//     early build lets a kubelet that stopped hide them. The condition has the reason of the hold
//     then;
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
	switch reason := v1alpha1.ReadyReason(c.Reason); {
	case reason.Holds():
		return c
	case reason == v1alpha1.Joining:
		return hidden(n, *c)
	}
	return nil
}

// hidden returns the condition with the hold that the node report lists instead of its
// own reason; nil when it lists none.
func hidden(n *corev1.Node, c corev1.NodeCondition) *corev1.NodeCondition {
	text, ok := n.Annotations[v1alpha1.NodeReportAnnotation]
	if !ok {
		return nil
	}
	r, err := v1alpha1.DecodeNodeReport([]byte(text))
	if err != nil || len(r.Holds) == 0 {
		return nil
	}
	c.Reason, c.Message = string(v1alpha1.HoldFile), strings.Join(r.Holds, ", ")
	if slices.ContainsFunc(r.Holds, func(h string) bool { return strings.HasPrefix(h, v1alpha1.InhibitorHold) }) {
		c.Reason = string(v1alpha1.InhibitorHeld)
	}
	return &c
}

// SaysDrained reports whether the node's agent says that no pod is left on a node that
// is Marked. It is a reason to look, and proves nothing.
func SaysDrained(n *corev1.Node) bool {
	c := Condition(n, v1alpha1.ScaleDownReady)
	return c != nil && c.Reason == string(v1alpha1.Drained)
}
