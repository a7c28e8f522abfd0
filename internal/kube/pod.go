package kube

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// daemonSetKind is the kind of a DaemonSet in an owner reference.
const daemonSetKind = "DaemonSet"

// DaemonSetPod reports whether the pod lives and dies with its node:
//   - a DaemonSet controls it, by its owner reference; or
//   - it is annotated DaemonSetPodAnnotation "true", as controllers mark theirs that
//     do what a DaemonSet does.
//
// Source: Cluster Autoscaler, utils/pod.IsDaemonSetPod.
func DaemonSetPod(p *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(p)
	return ref != nil && ref.Kind == daemonSetKind || p.Annotations[DaemonSetPodAnnotation] == "true"
}

// DaemonSetOf returns the UID of the DaemonSet that controls the pod:
//   - empty without one, also where the annotation makes it a DaemonSetPod.
func DaemonSetOf(p *corev1.Pod) types.UID {
	if ref := metav1.GetControllerOfNoCopy(p); ref != nil && ref.Kind == daemonSetKind {
		return ref.UID
	}
	return ""
}

// DaemonSetOwner returns the owner reference that the DaemonSet controller gives its
// pods.
func DaemonSetOwner(apiVersion, name string, uid types.UID) metav1.OwnerReference {
	controller := true
	return metav1.OwnerReference{APIVersion: apiVersion, Kind: daemonSetKind, Name: name, UID: uid, Controller: &controller}
}

// BuiltIn reports whether a controller of pods is of Kubernetes' own kinds: a kind of the
// same name in another API group, such as OpenKruise's StatefulSet, is none.
func BuiltIn(ref *metav1.OwnerReference) bool {
	group, _, _ := strings.Cut(ref.APIVersion, "/")
	switch ref.Kind {
	case "ReplicaSet", "StatefulSet", daemonSetKind:
		return group == "apps"
	case "Job":
		return group == "batch"
	case "ReplicationController":
		return ref.APIVersion == "v1"
	default:
		return false
	}
}

// StatefulSetPod reports whether a StatefulSet controls the pod. Its successor is made
// only once it is gone: the two have one name.
func StatefulSetPod(p *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(p)
	return ref != nil && ref.Kind == "StatefulSet"
}

// MirrorPod reports whether the pod is the API server's picture of a static pod:
//   - it has the annotation kubernetes.io/config.mirror, with any value.
//
// A kubelet runs static pods without the API server, so no eviction moves one.
// Source: Kubernetes, "Create static Pods"; kubelet/types.IsMirrorPod.
func MirrorPod(p *corev1.Pod) bool {
	_, ok := p.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}

// MirrorAnnotations returns the annotations of a MirrorPod, for one that is simulated.
func MirrorAnnotations() map[string]string {
	return map[string]string{corev1.MirrorPodAnnotationKey: ""}
}

// Finished reports whether all containers of the pod ended and none restarts:
//   - its phase is Succeeded or Failed.
//
// Such a pod takes no room on its node. Source: Kubernetes, "Pod Lifecycle".
func Finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// Terminating reports whether the pod's deletion was asked for:
//   - it has a deletion timestamp. It may still run, until its grace period ends and
//     longer.
func Terminating(p *corev1.Pod) bool { return p.DeletionTimestamp != nil }

// OverdueAfter is how long after the end of its grace period a terminating pod counts
// as one whose kubelet is gone. Source: Cluster Autoscaler, drain.PodLongTerminatingExtraThreshold.
const OverdueAfter = 30 * time.Second

// Overdue reports whether no one has to wait for a terminating pod any more:
//   - more than OverdueAfter has passed since its deletion timestamp, which is the end of its
//     grace period (ObjectMeta in the API reference), not the time of the request.
func Overdue(p *corev1.Pod, now time.Time) bool {
	return Terminating(p) && now.Sub(p.DeletionTimestamp.Time) > OverdueAfter
}

// NeedsEviction reports whether the pod has to leave its node before the node may go.
// It need not if it is:
//   - a MirrorPod or a DaemonSetPod, which goes with its node;
//   - Finished, which does no work;
//   - Overdue, which no kubelet ends.
//
// A pod that is terminating still runs, so it counts until it is gone or overdue. Agent,
// planner and evictor all ask this one function: where they disagree, a node never goes.
func NeedsEviction(p *corev1.Pod, now time.Time) bool {
	return !MirrorPod(p) && !DaemonSetPod(p) && !Finished(p) && !Overdue(p, now)
}

// DoNotDisrupt reports whether the pod is not to be evicted by choice, by the annotation
// DoNotDisruptAnnotation:
//   - "true" for as long as it runs;
//   - a duration such as "30m" from its start on; until it has started, too;
//   - any other value says nothing.
//
// Source: Karpenter, utils/pod.HasDoNotDisrupt.
func DoNotDisrupt(p *corev1.Pod, now time.Time) bool {
	value := p.Annotations[DoNotDisruptAnnotation]
	if value == "" || value == "true" {
		return value == "true"
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return false
	}
	started := p.Status.StartTime
	return started == nil || now.Before(started.Add(d))
}

// defaultGrace is what the API server gives a pod that names no grace period.
const defaultGrace = corev1.DefaultTerminationGracePeriodSeconds * time.Second

// Grace returns how long the pod may take to end once it is asked to.
func Grace(p *corev1.Pod) time.Duration {
	if s := p.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultGrace
}

// PodCondition returns the pod's condition of that type, within the pod; nil without one.
func PodCondition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// PodReady reports whether the pod is Ready:
//   - its condition Ready is True. Without the condition it is not.
func PodReady(p *corev1.Pod) bool {
	c := PodCondition(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}
