package labels

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// nodeOf reads what matters here; false for a control-plane node, whose labels are
// kubeadm's.
func nodeOf(n *corev1.Node) (Node, bool) {
	out := Node{Name: n.Name, UID: string(n.UID), Labels: map[string]string{}}
	for key, value := range n.Labels {
		if !v1alpha1.KubeletMaySet(key) {
			out.Labels[key] = value
		}
	}
	addresses := kube.InternalAddresses(n)
	slices.Sort(addresses)
	out.Claims = n.Spec.ProviderID + " " + strings.Join(addresses, ",")
	return out, !kube.ControlPlane(n)
}
