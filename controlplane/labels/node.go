package labels

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/instances"
)

// nodeOf reads what matters here; false for a Node that names no instance, and
// for a master, whose labels are kubeadm's.
func nodeOf(n *corev1.Node) (Node, bool) {
	id, ok := instances.FromProviderID(n.Spec.ProviderID)
	out := Node{Name: n.Name, UID: string(n.UID), InstanceID: id, Labels: n.Labels}
	for key := range n.Labels {
		ok = ok && !v1alpha1.ControlPlaneLabel(key)
	}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			out.Addresses = append(out.Addresses, a.Address)
		}
	}
	slices.Sort(out.Addresses)
	return out, ok
}

// slim keeps of a Node what nodeOf reads.
func slim(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion, Labels: map[string]string{}}}
	for key, value := range n.Labels {
		if !v1alpha1.KubeletMaySet(key) {
			out.Labels[key] = value
		}
	}
	out.Spec.ProviderID = n.Spec.ProviderID
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			out.Status.Addresses = append(out.Status.Addresses, a)
		}
	}
	return out, nil
}
