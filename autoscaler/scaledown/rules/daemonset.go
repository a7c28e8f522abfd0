package rules

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// daemonSet: a daemon is there for its node, so it goes with it. By its
// annotation enable-ds-eviction it is evicted first, if that can be done.
//
// Without the annotation Cluster Autoscaler evicts the daemons of a node that
// other pods run on (--daemonset-eviction-for-occupied-nodes). Joinery does not:
// a daemon that serves network or storage is needed until the last pod has ended
// (kubernetes/autoscaler#5240).
func daemonSet(_ *Context, pod *corev1.Pod) (Outcome, string) {
	switch {
	case !kube.DaemonSetPod(pod):
		return Undecided, ""
	case pod.Annotations[kube.EvictDaemonSetPodAnnotation] == "true":
		return Evict, ""
	default:
		return Ignore, ""
	}
}
