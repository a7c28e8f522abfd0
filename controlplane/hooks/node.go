package hooks

import (
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/instances"
)

const (
	// drainingAnnotation on a Node holds since when we drain it because its
	// group terminates its instance, in Unix seconds.
	drainingAnnotation = "joinery.dev/draining-since"
	// cordonedAnnotation says that Joinery cordoned the Node, as the autoscaler
	// marks it too: whoever takes the mark back uncordons no operator's cordon.
	cordonedAnnotation = "joinery.dev/cordoned-for-removal"
	// toBeDeleted is the taint of a node that is about to go, as Cluster
	// Autoscaler names it. The agent reports Draining and Drained by it.
	toBeDeleted = "ToBeDeletedByClusterAutoscaler"
)

// Node is what matters here of a Node.
type Node struct {
	// Name and UID of the Node.
	Name, UID string
	// Ready is its condition; ReadyAt when the kubelet last said so, by the
	// node's clock, in whole seconds.
	Ready   bool
	ReadyAt time.Time
	// Tainted says that it carries the taint of a node that is not ready.
	Tainted bool
	// Marked says that it is about to go, by our word or the autoscaler's.
	Marked bool
	// DrainingSince is when we marked it; zero if we did not.
	DrainingSince time.Time
	// Pods that have to leave before the node goes; read for Draining only.
	Pods []Pod
}

// Pod is a pod that has to leave its node.
type Pod struct {
	Namespace, Name, UID string
	// Leaving says that it was told to.
	Leaving bool
}

func nodeOf(n *corev1.Node) Node {
	out := Node{Name: n.Name, UID: string(n.UID)}
	if c := condition(n, corev1.NodeReady); c != nil {
		out.Ready, out.ReadyAt = c.Status == corev1.ConditionTrue, c.LastHeartbeatTime.Time
	}
	for _, t := range n.Spec.Taints {
		out.Tainted = out.Tainted || t.Key == corev1.TaintNodeNotReady
		out.Marked = out.Marked || t.Key == toBeDeleted
	}
	if s, err := strconv.ParseInt(n.Annotations[drainingAnnotation], 10, 64); err == nil {
		out.DrainingSince = time.Unix(s, 0)
	}
	return out
}

func condition(n *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	i := slices.IndexFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == kind })
	if i < 0 {
		return nil
	}
	return &n.Status.Conditions[i]
}

// slim keeps of a Node what nodeOf and interesting read: a large cluster's Nodes
// would be most of the controller's memory.
func slim(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion}}
	out.Spec.ProviderID = n.Spec.ProviderID
	if v, ok := n.Annotations[drainingAnnotation]; ok {
		out.Annotations = map[string]string{drainingAnnotation: v}
	}
	for _, t := range n.Spec.Taints {
		out.Spec.Taints = append(out.Spec.Taints, corev1.Taint{Key: t.Key})
	}
	for _, kind := range []corev1.NodeConditionType{corev1.NodeReady, v1alpha1.ScaleDownReady} {
		if c := condition(n, kind); c != nil {
			out.Status.Conditions = append(out.Status.Conditions, corev1.NodeCondition{
				Type: c.Type, Status: c.Status, Reason: c.Reason, LastHeartbeatTime: c.LastHeartbeatTime,
			})
		}
	}
	return out, nil
}

// interesting says that a Node changed in a way that a hook may wait for: it
// became Ready, or its agent says that it is drained, which is a reason to look
// and no proof.
func interesting(before, now *corev1.Node) bool {
	became := func(is func(*corev1.Node) bool) bool { return is(now) && (before == nil || !is(before)) }
	return became(ready) || became(saysDrained)
}

func ready(n *corev1.Node) bool {
	c := condition(n, corev1.NodeReady)
	notReady := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady })
	return c != nil && c.Status == corev1.ConditionTrue && !notReady
}

func saysDrained(n *corev1.Node) bool {
	c := condition(n, v1alpha1.ScaleDownReady)
	return c != nil && c.Reason == string(v1alpha1.Drained)
}

// byInstance groups Nodes by the instance that their provider id names.
func byInstance(all []*corev1.Node) map[string][]Node {
	out := map[string][]Node{}
	for _, n := range all {
		if id, ok := instances.FromProviderID(n.Spec.ProviderID); ok {
			out[id] = append(out[id], nodeOf(n))
		}
	}
	return out
}

// movable says whether a pod has to leave its node before the node goes: mirror
// and DaemonSet pods live and die with it, ended ones do no work, and one far
// past its grace period has lost its kubelet.
func movable(p *corev1.Pod, now time.Time) bool {
	_, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]
	owner := metav1.GetControllerOf(p)
	daemon := owner != nil && owner.Kind == "DaemonSet"
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	if mirror || daemon || ended {
		return false
	}
	return p.DeletionTimestamp == nil || now.Sub(p.DeletionTimestamp.Time) < overdue
}
