package rules

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// controlPlaneKeys are the labels and taints that kubeadm gives control plane
// nodes, the old one included.
var controlPlaneKeys = [...]string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

// controlPlane keeps the cluster's own nodes, also when somebody has put them
// into a group. Cluster Autoscaler has no such rule.
func controlPlane(_ *Context, n *NodeFacts) string {
	for _, key := range controlPlaneKeys {
		_, labelled := n.Node.Labels[key]
		if labelled || hasTaint(n.Node, key) {
			return "the node belongs to the control plane"
		}
	}
	return ""
}

func hasTaint(node *corev1.Node, key string) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}
