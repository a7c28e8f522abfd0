package rules

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// safeToEvict: "true" lifts the rules after this one, "false" keeps the pod,
// "on-completion" keeps it until it has ended by itself. Other values say
// nothing.
//
// While a pod of "on-completion" runs, Cluster Autoscaler lets the node's time as
// unneeded go on; here it begins when the pod has ended.
func safeToEvict(_ *Context, pod *corev1.Pod) (Outcome, string) {
	switch pod.Annotations[kube.SafeToEvictAnnotation] {
	case "true":
		return Move, ""
	case "false":
		return Block, "is annotated " + kube.SafeToEvictAnnotation + "=false"
	case "on-completion":
		return Block, "is annotated " + kube.SafeToEvictAnnotation + "=on-completion and has not completed"
	default:
		return Undecided, ""
	}
}
