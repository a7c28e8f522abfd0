package rules

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// controller: nobody makes a bare pod anew. Pods of controllers that are not
// built in count as bare unless the options say otherwise.
//
// Whether the controller still exists is asked by owner.
func controller(c *Context, pod *corev1.Pod) (Outcome, string) {
	ref := metav1.GetControllerOfNoCopy(pod)
	switch {
	case ref == nil:
		return Block, "has no controller that would make it anew"
	case c.MoveCustomControllerPods || builtIn(ref.Kind):
		return Undecided, ""
	default:
		return Block, "has a controller of kind " + ref.Kind + ", which is not built in"
	}
}

func builtIn(kind string) bool {
	switch kind {
	case "ReplicationController", "ReplicaSet", "StatefulSet", "Job":
		return true
	default:
		return false
	}
}
