package rules

import corev1 "k8s.io/api/core/v1"

// unsupported keeps a pod for which no other place can be proven. Being safe to
// evict does not change that, so this rule comes before that one.
func unsupported(c *Context, pod *corev1.Pod) (Outcome, string) {
	if c.Unsupported == nil {
		return Undecided, ""
	}
	if reason := c.Unsupported(pod); reason != "" {
		return Block, "cannot be simulated: " + reason
	}
	return Undecided, ""
}
