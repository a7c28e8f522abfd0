package asg

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
)

// ofAnyNode are the labels of a node without those that belong to it alone or to
// where it runs. Of the EBS driver's zone label it is known only that the node
// has it: cluster.Template sets the value.
func ofAnyNode(n *corev1.Node) map[string]string {
	labels := map[string]string{}
	for key, value := range n.Labels {
		if key == cluster.EBSZoneLabel {
			labels[key] = ""
		} else if !ownLabel(n, key, value) {
			labels[key] = value
		}
	}
	return labels
}

// ownLabel reports a label that says which node this is, where it is, what an
// operator wants of this one alone, or what the controller recorded of it.
func ownLabel(n *corev1.Node, key, value string) bool {
	domain, name, _ := strings.Cut(key, "/")
	switch {
	case v1alpha1.OwnLabel(key):
		return true
	case strings.HasPrefix(domain, "topology.") || strings.HasPrefix(domain, "failure-domain."):
		return true
	case key == corev1.LabelHostname || strings.HasPrefix(key, "node.kubernetes.io/exclude"):
		return true
	case strings.Contains(name, "zone") || strings.Contains(name, "region"):
		return true
	}
	host, _, _ := strings.Cut(n.Name, ".")
	if id, ok := kube.InstanceOf(n); ok && strings.Contains(value, id) {
		return true
	}
	return value != "" && (value == n.Name || value == host)
}
