package rules

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// DelayedBy names the annotations, sorted, by which others ask for time to clean
// up before the node is deleted; their values do not matter. They do not speak
// against the decision: after it and after the drain, Cluster Autoscaler waits
// until they are gone, for --node-deletion-delay-timeout (2 min) at most.
func DelayedBy(node *corev1.Node) []string {
	var keys []string
	for key := range node.Annotations {
		if strings.HasPrefix(key, kube.DelayDeletionPrefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
