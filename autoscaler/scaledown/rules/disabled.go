package rules

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

func disabled(c *Context, n *NodeFacts) string {
	text := annotated(n.Node)
	if text == "" {
		return ""
	}
	return c.keeps(n.Node, text)
}

func annotated(node *corev1.Node) string {
	if kube.ScaleDownDisabled(node) {
		return "the node is annotated " + kube.ScaleDownDisabledAnnotation + "=true"
	}
	if kube.NodeDoNotDisrupt(node) {
		return "the node is annotated " + kube.DoNotDisruptAnnotation + "=true"
	}
	return ""
}
