package cluster

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/joinery/joinery/internal/kube"
)

// Key is the namespace and name of a pod.
func Key(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// ComparePods orders pods by namespace, name and uid.
func ComparePods(a, b *corev1.Pod) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
}

// Expendable reports whether the pod's priority is below the cut-off, see
// ExpendablePriority.
func Expendable(pod *corev1.Pod) bool {
	return corev1helpers.PodPriority(pod) < ExpendablePriority
}

// unbound reports whether the default scheduler is to find a node for the pod
// some time soon: it is not gated, not ending and not a daemon, whose node is
// given.
func unbound(pod *corev1.Pod) bool {
	name := pod.Spec.SchedulerName
	return pod.Spec.NodeName == "" && !kube.Finished(pod) && pod.DeletionTimestamp == nil &&
		len(pod.Spec.SchedulingGates) == 0 &&
		(name == "" || name == corev1.DefaultSchedulerName) && !kube.DaemonSetPod(pod)
}

// unschedulable reports whether the scheduler has tried the pod and found no
// node for it.
func unschedulable(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
		}
	}
	return false
}

// facts are what decides where a pod is kept.
type facts uint8

const (
	ended     facts = 1 << iota // for good
	bound                       // to a node
	waits                       // for the default scheduler to find a node
	refused                     // by the scheduler, which found none
	nominated                   // for a node where room is being made
)

func factsOf(pod *corev1.Pod) facts {
	var is facts
	switch {
	case kube.Finished(pod):
		return ended
	case pod.Spec.NodeName != "":
		return bound
	case unbound(pod):
		is |= waits
	}
	if unschedulable(pod) {
		is |= refused
	}
	if pod.Status.NominatedNodeName != "" {
		is |= nominated
	}
	return is
}
