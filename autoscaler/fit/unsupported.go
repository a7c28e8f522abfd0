package fit

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// Unsupported tells why a pod cannot be simulated at all, nil when it can. A
// planner leaves such a pod to the scheduler and to the operator, and leaves the
// node alone that such a pod runs on.
func Unsupported(pod *corev1.Pod) *Reason {
	if n := len(pod.Spec.ResourceClaims); n > 0 {
		return &Reason{Message: "dynamic resource claims are not supported yet"}
	}
	if pod.Spec.SchedulingGroup != nil {
		return &Reason{Message: "gang scheduling (schedulingGroup) is not supported yet"}
	}
	for i := range pod.Spec.Volumes {
		if kind := claimKind(&pod.Spec.Volumes[i].VolumeSource); kind != "" {
			return &Reason{Message: fmt.Sprintf("volumes not supported yet: volume %s is %s", pod.Spec.Volumes[i].Name, kind)}
		}
	}
	return nil
}

// claimKind names the volume when the nodes that it can be attached to depend on
// objects outside of a snapshot: a claim with its volume and class, or a cloud
// disk that lives in one zone. Empty for others.
func claimKind(v *corev1.VolumeSource) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return "persistent volume claim " + v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return "an ephemeral volume claim"
	case v.AWSElasticBlockStore != nil:
		return "an EBS disk"
	default:
		return ""
	}
}
