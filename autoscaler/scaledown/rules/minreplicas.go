package rules

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// minReplicas keeps the pods of a ReplicaSet or ReplicationController that is to
// have fewer replicas than Options.MinReplicaCount, so that a workload with
// little or no redundancy is not disturbed. Other kinds do not count, and being
// safe to evict does not lift it, as in Cluster Autoscaler; there, however,
// --skip-nodes-with-custom-controller-pods=false turns the rule off too.
func minReplicas(c *Context, pod *corev1.Pod) (Outcome, string) {
	if c.MinReplicaCount <= 0 || c.Replicas == nil {
		return Undecided, ""
	}
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.Kind != "ReplicaSet" && ref.Kind != "ReplicationController" {
		return Undecided, ""
	}
	n, found := c.Replicas(pod)
	switch {
	case !found:
		return Block, "has a controller that is not to be found"
	case int(n) < c.MinReplicaCount:
		return Block, fmt.Sprintf("has a controller with %d replicas, fewer than %d", n, c.MinReplicaCount)
	default:
		return Undecided, ""
	}
}
