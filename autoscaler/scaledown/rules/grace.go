package rules

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// grace keeps a pod that may take longer to end than a drain waits. Cluster Autoscaler
// evicts it and cuts its grace period to --max-graceful-termination-sec.
func grace(c *Context, pod *corev1.Pod) (Outcome, string) {
	if c.MaxGrace <= 0 {
		return Undecided, ""
	}
	if g := kube.Grace(pod); g > c.MaxGrace {
		return Block, fmt.Sprintf("may take %s to end, and a drain waits for %s", g, c.MaxGrace)
	}
	return Undecided, ""
}
