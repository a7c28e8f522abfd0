package rules

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// expendable drops a pod that does not keep a node, see
// cluster.ExpendablePriority.
func expendable(_ *Context, pod *corev1.Pod) (Outcome, string) {
	if cluster.Expendable(pod) {
		return Drop, ""
	}
	return Undecided, ""
}
