package rules

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// doNotDisrupt keeps a pod that is not to be evicted by choice, in Karpenter's words.
// It comes before safeToEvict: where the two annotations contradict each other, the
// pod stays.
func doNotDisrupt(c *Context, pod *corev1.Pod) (Outcome, string) {
	if kube.DoNotDisrupt(pod, c.Now) {
		return Block, "is annotated " + kube.DoNotDisruptAnnotation + "=" + pod.Annotations[kube.DoNotDisruptAnnotation]
	}
	return Undecided, ""
}
