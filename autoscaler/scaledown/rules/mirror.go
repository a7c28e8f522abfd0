package rules

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// mirror ignores the API server's picture of a static pod: static pods live and
// die with their kubelet.
func mirror(_ *Context, pod *corev1.Pod) (Outcome, string) {
	if kube.MirrorPod(pod) {
		return Ignore, ""
	}
	return Undecided, ""
}
