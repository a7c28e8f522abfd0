package rules

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// systemPodTime is how long after its making a pod of kube-system keeps its node:
// the default of Cluster Autoscaler's --blocking-system-pod-distruption-timeout.
const systemPodTime = time.Hour

// system keeps a young pod of kube-system that no disruption budget covers. The
// time is counted from the pod's making and not from when it first was in the way
// (kubernetes/autoscaler#7914), so nothing has to be remembered. A pod of unknown
// age blocks.
func system(c *Context, pod *corev1.Pod) (Outcome, string) {
	if c.MoveSystemPods || pod.Namespace != metav1.NamespaceSystem {
		return Undecided, ""
	}
	made := pod.CreationTimestamp.Time
	if !made.IsZero() && c.Now.Sub(made) >= systemPodTime {
		return Undecided, ""
	}
	if c.Covered != nil && c.Covered(pod) {
		return Undecided, ""
	}
	return Block, "is a system pod without a disruption budget and has not been there for " + systemPodTime.String()
}
