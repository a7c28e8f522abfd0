package kube

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeptNode is what an informer keeps of Nodes. A large cluster's Nodes, with their
// images, managed fields and foreign annotations, would be most of a controller's
// memory. Name, UID, resource version, the times of creation and deletion, the provider
// id and whether it is cordoned are always kept.
type KeptNode struct {
	// Labels reports which labels are kept; nil is none.
	Labels func(key string) bool
	// Annotations are those that are kept.
	Annotations []string
	// Conditions are the types of those that are kept.
	Conditions []corev1.NodeConditionType
	// Taints and InternalAddresses keep all of them.
	Taints, InternalAddresses bool
}

// Slim is a cache.TransformFunc: it returns a copy of a Node with what is kept. Objects
// of other kinds are returned as they are. It never fails.
func (k KeptNode) Slim(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion,
		CreationTimestamp: n.CreationTimestamp, DeletionTimestamp: n.DeletionTimestamp,
		Annotations: keptAnnotations(n.Annotations, k.Annotations),
	}}
	for key, value := range n.Labels {
		if k.Labels != nil && k.Labels(key) {
			put(&out.Labels, key, value)
		}
	}
	out.Spec.ProviderID, out.Spec.Unschedulable = n.Spec.ProviderID, n.Spec.Unschedulable
	if k.Taints {
		out.Spec.Taints = n.Spec.Taints
	}
	for _, kind := range k.Conditions {
		if c := Condition(n, kind); c != nil {
			out.Status.Conditions = append(out.Status.Conditions, *c)
		}
	}
	for _, a := range n.Status.Addresses {
		if k.InternalAddresses && a.Type == corev1.NodeInternalIP {
			out.Status.Addresses = append(out.Status.Addresses, a)
		}
	}
	return out, nil
}

// SlimPod is a cache.TransformFunc: it returns a copy of a Pod with what NeedsEviction
// reads, its name, its UID and the name of its node. Objects of other kinds are returned
// as they are. It never fails.
func SlimPod(obj any) (any, error) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	out := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: p.Name, Namespace: p.Namespace, UID: p.UID, ResourceVersion: p.ResourceVersion,
		DeletionTimestamp: p.DeletionTimestamp,
		Annotations:       keptAnnotations(p.Annotations, []string{corev1.MirrorPodAnnotationKey, DaemonSetPodAnnotation}),
	}}
	out.Spec.NodeName, out.Status.Phase = p.Spec.NodeName, p.Status.Phase
	if owner := metav1.GetControllerOf(p); owner != nil {
		out.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return out, nil
}

func keptAnnotations(all map[string]string, keys []string) map[string]string {
	var out map[string]string
	for _, key := range keys {
		if value, ok := all[key]; ok {
			put(&out, key, value)
		}
	}
	return out
}

func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}
