package rules

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/kube"
)

// minReplicas keeps the pods of a ReplicaSet or ReplicationController that is to
// have fewer replicas than Options.MinReplicaCount, so that a workload with
// little or no redundancy is not disturbed. Other kinds do not count, and being
// safe to evict does not lift it, as in Cluster Autoscaler; there, however,
// --skip-nodes-with-custom-controller-pods=false turns the rule off too.
func minReplicas(c *Context, pod *corev1.Pod) (Outcome, string) {
	if c.MinReplicaCount <= 0 || c.Owner == nil {
		return Undecided, ""
	}
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.Kind != "ReplicaSet" && ref.Kind != "ReplicationController" || !kube.BuiltIn(ref) {
		return Undecided, ""
	}
	if n, found := c.Owner(ref.UID); found && int(n) < c.MinReplicaCount {
		return Block, fmt.Sprintf("has a controller with %d replicas, fewer than %d", n, c.MinReplicaCount)
	}
	return Undecided, ""
}
