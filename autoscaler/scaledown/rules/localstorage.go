package rules

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// localStorage keeps a pod that has something in an emptyDir on disk or in a
// hostPath, which would stay behind, unless its annotation names the volume.
func localStorage(c *Context, pod *corev1.Pod) (Outcome, string) {
	if c.MoveLocalStorage {
		return Undecided, ""
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if isLocal(v) && !named(pod.Annotations[kube.SafeVolumesAnnotation], v.Name) {
			return Block, "keeps local storage in volume " + v.Name
		}
	}
	return Undecided, ""
}

func isLocal(v *corev1.Volume) bool {
	return v.HostPath != nil || v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumMemory
}

// named reports whether the comma separated list has the name. Blanks around
// names do not count; Cluster Autoscaler takes them for a part of the name, by
// which no volume is ever meant.
func named(list, name string) bool {
	for more := true; more; {
		var item string
		item, list, more = strings.Cut(list, ",")
		if strings.TrimSpace(item) == name {
			return true
		}
	}
	return false
}
