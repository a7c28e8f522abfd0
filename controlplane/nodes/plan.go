// Package nodes removes Node objects whose EC2 instance is gone or went back into
// a warm pool, so that names can be used again and nothing waits for a kubelet
// that will not answer. Plan decides and does no I/O; Janitor executes. Where a
// cloud controller manager does the same work, the two do not fight: what is
// deleted bears the UID that was judged, and that it is gone already is fine.
package nodes

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/instances"
)

// masterLabel is kubeadm's label of a control plane node.
const masterLabel = "node-role.kubernetes.io/control-plane"

// toBeDeleted is the taint of a node that is being scaled down, as Cluster
// Autoscaler names it.
const toBeDeleted = "ToBeDeletedByClusterAutoscaler"

// Suspect is a Node whose instance may be gone.
type Suspect struct {
	// Name and UID of the Node.
	Name, UID string
	// InstanceID by its provider id.
	InstanceID string
	// Reported says that an agent of ours reported on it: it is ours even when
	// EC2 no longer knows the instance and its tags.
	Reported bool
	// Leaving says that it is being scaled down or deleted already.
	Leaving bool
}

// Suspects picks the nodes that are worth a question to EC2: those that are not
// Ready or on their way out. Masters are never among them, nor nodes that name
// no instance: nothing could prove those to be orphaned.
func Suspects(all []*corev1.Node) []Suspect {
	var out []Suspect
	for _, n := range all {
		id, ok := instances.FromProviderID(n.Spec.ProviderID)
		if _, master := n.Labels[masterLabel]; master || !ok || (ready(n) && !leaving(n)) {
			continue
		}
		_, reported := n.Annotations[v1alpha1.NodeReportAnnotation]
		out = append(out, Suspect{Name: n.Name, UID: string(n.UID), InstanceID: id, Reported: reported, Leaving: leaving(n)})
	}
	slices.SortFunc(out, func(a, b Suspect) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// slim keeps of a Node what Suspects reads: a large cluster's Nodes with their
// images and managed fields would be most of the controller's memory.
func slim(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion, DeletionTimestamp: n.DeletionTimestamp,
	}}
	if _, ok := n.Labels[masterLabel]; ok {
		out.Labels = map[string]string{masterLabel: ""}
	}
	if _, ok := n.Annotations[v1alpha1.NodeReportAnnotation]; ok {
		out.Annotations = map[string]string{v1alpha1.NodeReportAnnotation: ""}
	}
	out.Spec.ProviderID = n.Spec.ProviderID
	for _, t := range n.Spec.Taints {
		out.Spec.Taints = append(out.Spec.Taints, corev1.Taint{Key: t.Key})
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			out.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return out, nil
}

func ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func leaving(n *corev1.Node) bool {
	return n.DeletionTimestamp != nil || slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == toBeDeleted })
}

// Deletion is a Node to delete, and why.
type Deletion struct {
	Suspect
	Why string
}

// Stopped picks the instances that are stopped or about to be. Whether their
// Nodes go is for their lifecycle states to say.
func Stopped(found []instances.Instance) []string {
	var ids []string
	for _, i := range found {
		if resting(i) {
			ids = append(ids, i.ID)
		}
	}
	return ids
}

func resting(i instances.Instance) bool { return i.State == "stopping" || i.State == "stopped" }

// Facts are what AWS said about the suspects' instances just now.
type Facts struct {
	// Found are the instances that EC2 knows.
	Found []instances.Instance
	// Lifecycles maps those of Stopped that are in a group to their lifecycle
	// states.
	Lifecycles map[string]string
}

// Unknown maps an instance id to when EC2 first said that it does not know it.
type Unknown map[string]time.Time

// Plan decides which suspects go. An instance that EC2 does not know must stay
// unknown for settle: a single answer may come from a replica that is behind. One
// that its operator stopped keeps its Node; one that its group put into its warm
// pool makes the Node anew when it is wanted. The second result is what to
// remember until the next time.
func Plan(suspects []Suspect, f Facts, before Unknown, cluster string, now time.Time, settle time.Duration) ([]Deletion, Unknown) {
	known := make(map[string]instances.Instance, len(f.Found))
	for _, i := range f.Found {
		known[i.ID] = i
	}
	var out []Deletion
	unknown := Unknown{}
	for _, s := range suspects {
		i, ok := known[s.InstanceID]
		ours := s.Reported || i.Cluster == cluster
		switch {
		case ok && i.Going() && ours:
			out = append(out, Deletion{s, "instance " + i.ID + " is " + i.State})
		case ok && resting(i) && ours && strings.HasPrefix(f.Lifecycles[i.ID], "Warmed:"):
			out = append(out, Deletion{s, "instance " + i.ID + " is " + i.State + " in the warm pool of its group"})
		case !ok && s.Reported:
			since, seen := before[s.InstanceID]
			if !seen {
				since = now
			}
			unknown[s.InstanceID] = since
			if now.Sub(since) >= settle {
				out = append(out, Deletion{s, "EC2 does not know instance " + s.InstanceID})
			}
		}
	}
	return out, unknown
}
