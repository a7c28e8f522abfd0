package rules

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// ending: a pod that is being deleted needs no other place, but its node stays
// until it should have ended; from then on it does not count.
//
// Cluster Autoscaler adds the grace period to the deletion timestamp, which
// already holds it (ObjectMeta in the API reference), and until then wants a
// place for a pod that will not come back.
func ending(c *Context, pod *corev1.Pod) (Outcome, string) {
	switch {
	case !kube.Terminating(pod):
		return Undecided, ""
	case kube.DaemonSetPod(pod) || kube.Overdue(pod, c.Now):
		return Ignore, ""
	default:
		return Block, "is still ending"
	}
}
