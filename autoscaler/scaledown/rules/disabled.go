package rules

// ScaleDownDisabled is Cluster Autoscaler's annotation by which a Node is never
// removed, when its value is "true".
const ScaleDownDisabled = "cluster-autoscaler.kubernetes.io/scale-down-disabled"

func disabled(_ *Context, n *NodeFacts) string {
	if n.Node.Annotations[ScaleDownDisabled] == "true" {
		return "the node is annotated " + ScaleDownDisabled + "=true"
	}
	return ""
}
