package rules

import "github.com/joinery/joinery/internal/kube"

// controlPlane keeps the cluster's own nodes, also when they were put into a
// group. Cluster Autoscaler has no such rule. The label decides alone: a
// kubelet can register its Node with any taint, and would stay by it indefinitely.
func controlPlane(_ *Context, n *NodeFacts) string {
	if kube.ControlPlane(n.Node) {
		return "the node belongs to the control plane"
	}
	return ""
}
