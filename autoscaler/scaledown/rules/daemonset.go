package rules

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	daemonAnnotation      = "cluster-autoscaler.kubernetes.io/daemonset-pod"
	evictDaemonAnnotation = "cluster-autoscaler.kubernetes.io/enable-ds-eviction"
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
	case !isDaemon(pod):
		return Undecided, ""
	case pod.Annotations[evictDaemonAnnotation] == "true":
		return Evict, ""
	default:
		return Ignore, ""
	}
}

// isDaemon also knows pods that say so themselves, for controllers that do what
// a DaemonSet does. It copies no owner reference, unlike
// cluster.OwnedByDaemonSet, as it is asked for every pod.
func isDaemon(pod *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(pod)
	return ref != nil && ref.Kind == "DaemonSet" || pod.Annotations[daemonAnnotation] == "true"
}
