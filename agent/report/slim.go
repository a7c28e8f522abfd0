package report

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
)

// slimPod keeps of a pod what Decide reads: the agent holds hundreds of pods on
// a machine whose memory belongs to them.
func slimPod(o any) (any, error) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	s := &corev1.Pod{Status: corev1.PodStatus{Phase: p.Status.Phase}}
	s.Name, s.Namespace, s.UID, s.ResourceVersion = p.Name, p.Namespace, p.UID, p.ResourceVersion
	if v, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		s.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: v}
	}
	if owner := metav1.GetControllerOf(p); owner != nil {
		s.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return s, nil
}

// slimNode keeps of a Node what Decide and the writer read; a Node also lists
// every image on its machine.
func slimNode(o any) (any, error) {
	n, ok := o.(*corev1.Node)
	if !ok {
		return o, nil
	}
	s := &corev1.Node{}
	s.Name, s.UID, s.ResourceVersion = n.Name, n.UID, n.ResourceVersion
	s.Spec.Taints = n.Spec.Taints
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady || c.Type == v1alpha1.ScaleDownReady {
			s.Status.Conditions = append(s.Status.Conditions, c)
		}
	}
	return s, nil
}
