package rules

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// endingGrace is how much longer than its grace period a pod may take to end, as
// in Cluster Autoscaler.
const endingGrace = 30 * time.Second

// ending: a pod that is being deleted needs no other place, but its node stays
// until it should have ended; from then on it does not count.
//
// Cluster Autoscaler adds the grace period to the deletion timestamp, which
// already holds it (ObjectMeta in the API reference), and until then wants a
// place for a pod that will not come back.
func ending(c *Context, pod *corev1.Pod) (Outcome, string) {
	switch {
	case pod.DeletionTimestamp == nil:
		return Undecided, ""
	case isDaemon(pod) || c.Now.After(pod.DeletionTimestamp.Add(endingGrace)):
		return Ignore, ""
	default:
		return Block, "is still ending"
	}
}
