package rules

import corev1 "k8s.io/api/core/v1"

// mirror ignores the API server's picture of a static pod: static pods live and
// die with their kubelet.
func mirror(_ *Context, pod *corev1.Pod) (Outcome, string) {
	if _, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		return Ignore, ""
	}
	return Undecided, ""
}
