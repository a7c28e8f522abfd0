package rules

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/kube"
)

// owner keeps a pod whose controller is gone: no one would make it again elsewhere. It
// stays until Kubernetes collects it, or someone has seen to it:
//   - only built-in kinds of Kubernetes' own API groups are looked up;
//   - the controller is known by its UID, so another one of the same name is none;
//   - DaemonSet pods count as well, and being safe to evict does not lift it, as in
//     Cluster Autoscaler.
func owner(c *Context, pod *corev1.Pod) (Outcome, string) {
	if c.Owner == nil {
		return Undecided, ""
	}
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || !kube.BuiltIn(ref) {
		return Undecided, ""
	}
	if _, found := c.Owner(ref.UID); !found {
		return Block, "has a controller that does not exist: " + ref.Kind + " " + ref.Name
	}
	return Undecided, ""
}
