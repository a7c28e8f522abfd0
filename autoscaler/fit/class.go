package fit

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
)

// Class is what the filters see of a pod: two pods of one class fit on the same
// nodes.
type Class struct {
	// Key is the same for all pods of the class.
	Key string
	// Monotone says that a node that refuses a pod of this class goes on refusing
	// it whatever pods are added to the cluster. It does not hold for pods that
	// want to be near other pods or spread evenly with them.
	Monotone bool
}

// ClassOf finds the class of a pod. The key leaves out what the filters do not
// look at, above all names, images and the token volume that is named anew in
// each pod.
func ClassOf(pod *corev1.Pod) Class {
	view := struct {
		Namespace string
		Name      string `json:",omitempty"`
		Labels    map[string]string
		Spec      corev1.PodSpec
	}{Namespace: pod.Namespace, Labels: pod.Labels, Spec: corev1.PodSpec{
		NodeName:                  pod.Spec.NodeName,
		NodeSelector:              pod.Spec.NodeSelector,
		Affinity:                  pod.Spec.Affinity,
		Tolerations:               pod.Spec.Tolerations,
		TopologySpreadConstraints: pod.Spec.TopologySpreadConstraints,
		HostNetwork:               pod.Spec.HostNetwork,
		Overhead:                  pod.Spec.Overhead,
		Resources:                 pod.Spec.Resources,
		Containers:                needs(pod.Spec.Containers),
		InitContainers:            needs(pod.Spec.InitContainers),
	}}
	if hasExclusiveVolume(pod) {
		view.Name = pod.Name
	}
	key, err := json.Marshal(view)
	if err != nil {
		// Quantities and strings always marshal; a class of its own is right
		// for whatever does not.
		key = []byte(pod.UID)
	}
	return Class{Key: string(key), Monotone: monotone(pod)}
}

func needs(containers []corev1.Container) []corev1.Container {
	out := make([]corev1.Container, len(containers))
	for i, c := range containers {
		out[i] = corev1.Container{Resources: c.Resources, Ports: c.Ports, RestartPolicy: c.RestartPolicy}
	}
	return out
}

// hasExclusiveVolume reports whether a volume of the pod conflicts with the same
// volume in another pod (plugin VolumeRestrictions).
func hasExclusiveVolume(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i].VolumeSource
		if v.GCEPersistentDisk != nil || v.AWSElasticBlockStore != nil || v.RBD != nil || v.ISCSI != nil ||
			v.PersistentVolumeClaim != nil || v.Ephemeral != nil {
			return true
		}
	}
	return false
}

func monotone(pod *corev1.Pod) bool {
	for _, c := range pod.Spec.TopologySpreadConstraints {
		if c.WhenUnsatisfiable == corev1.DoNotSchedule {
			return false
		}
	}
	a := pod.Spec.Affinity
	return a == nil || a.PodAffinity == nil || len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) == 0
}
