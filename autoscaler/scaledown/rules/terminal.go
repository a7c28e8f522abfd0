package rules

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// terminal ignores a pod that has ended for good.
func terminal(_ *Context, pod *corev1.Pod) (Outcome, string) {
	if kube.Finished(pod) {
		return Ignore, ""
	}
	return Undecided, ""
}
