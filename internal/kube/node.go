package kube

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/identity"
)

// Condition returns the Node's condition of that type, within the Node:
//   - nil without one, and for a nil Node.
func Condition(n *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	if n == nil {
		return nil
	}
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == kind {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

// ReadyStatus returns the status of the condition Ready:
//   - True and False are the kubelet's own word;
//   - Unknown means that the kubelet fell silent: such a node is lost, not starting
//     (the node lifecycle controller writes it);
//   - False without the condition, as no one has reported on the Node yet.
func ReadyStatus(n *corev1.Node) corev1.ConditionStatus {
	if c := Condition(n, corev1.NodeReady); c != nil {
		return c.Status
	}
	return corev1.ConditionFalse
}

// KubeletReady reports whether the kubelet says that it can run pods:
//   - the condition Ready is True. Taints are not looked at, so the scheduler may still
//     send no pod: that is Schedulable.
//   - false for a nil Node.
func KubeletReady(n *corev1.Node) bool { return ReadyStatus(n) == corev1.ConditionTrue }

// Schedulable reports whether the scheduler may send ordinary pods as far as the node's
// start is concerned:
//   - KubeletReady, and
//   - the taint node.kubernetes.io/not-ready is gone, which the node lifecycle controller
//     takes off a moment after the kubelet became Ready.
//
// A cordon and other taints are not looked at: they say nothing about the start.
func Schedulable(n *corev1.Node) bool {
	return KubeletReady(n) && !HasTaint(n, corev1.TaintNodeNotReady)
}

// HasTaint reports whether the Node has a taint with that key, of any value and effect.
func HasTaint(n *corev1.Node, key string) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

// Marked reports whether a removal of the node has begun:
//   - it has ToBeDeletedTaint, by Joinery's autoscaler, by its lifecycle hooks or by
//     Cluster Autoscaler.
func Marked(n *corev1.Node) bool { return HasTaint(n, ToBeDeletedTaint) }

// Unmarked returns a copy of the Node's taints without ToBeDeletedTaint, with room for
// one more.
func Unmarked(n *corev1.Node) []corev1.Taint {
	kept := make([]corev1.Taint, 0, len(n.Spec.Taints)+1)
	for _, t := range n.Spec.Taints {
		if t.Key != ToBeDeletedTaint {
			kept = append(kept, t)
		}
	}
	return kept
}

// Leaving reports whether the Node is being removed:
//   - it is Marked, or
//   - its deletion was asked for.
func Leaving(n *corev1.Node) bool { return n.DeletionTimestamp != nil || Marked(n) }

// ScaleDownDisabled reports whether an operator keeps the node from scale-down:
//   - it is annotated ScaleDownDisabledAnnotation "true".
func ScaleDownDisabled(n *corev1.Node) bool {
	return n.Annotations[ScaleDownDisabledAnnotation] == "true"
}

// NodeDoNotDisrupt reports whether the node is not to be removed by choice:
//   - it is annotated DoNotDisruptAnnotation "true"; a duration means nothing on a Node.
func NodeDoNotDisrupt(n *corev1.Node) bool {
	return n.Annotations[DoNotDisruptAnnotation] == "true"
}

// ControlPlane reports whether kubeadm made the Node a control-plane node:
//   - it has ControlPlaneLabel or OldControlPlaneLabel, with any value.
//
// No kubelet can give its own Node such a label (admission plugin NodeRestriction), so
// a node cannot claim it; nor is a taint looked at, which a kubelet can give itself.
func ControlPlane(n *corev1.Node) bool {
	for key := range n.Labels {
		if v1alpha1.ControlPlaneLabel(key) {
			return true
		}
	}
	return false
}

// InstanceOf returns the instance that the Node claims in its provider id, by
// fleet.FromProviderID; false for none. Whether it is that instance, package binding
// decides.
func InstanceOf(n *corev1.Node) (string, bool) { return fleet.FromProviderID(n.Spec.ProviderID) }

// ProviderID returns the provider id of an instance, as a kubelet of the cluster gives
// it to its Node. InstanceOf reads it.
func ProviderID(zone, instance string) string { return identity.FormatProviderID(zone, instance) }

// InternalAddresses returns the Node's addresses of type InternalIP, in its order.
func InternalAddresses(n *corev1.Node) []string {
	var out []string
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			out = append(out, a.Address)
		}
	}
	return out
}
