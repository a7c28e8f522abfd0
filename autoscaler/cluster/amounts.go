package cluster

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"
)

// Amounts are quantities of the resources that kube-scheduler counts: cpu in
// milli-units, memory and storage in bytes, all others in whole units.
type Amounts struct {
	MilliCPU, Memory, EphemeralStorage, Pods int64
	// Scalar are extended resources and huge pages, by name.
	Scalar []Scalar
}

// Scalar is an amount of a resource that is named by a device plugin or a page
// size.
type Scalar struct {
	Name  corev1.ResourceName
	Value int64
}

// AmountsOf reads a resource list as kube-scheduler does: what it would not
// count is left out.
func AmountsOf(list corev1.ResourceList) Amounts {
	var a Amounts
	for name, q := range list {
		switch name {
		case corev1.ResourceCPU:
			a.MilliCPU = q.MilliValue()
		case corev1.ResourceMemory:
			a.Memory = q.Value()
		case corev1.ResourceEphemeralStorage:
			a.EphemeralStorage = q.Value()
		case corev1.ResourcePods:
			a.Pods = q.Value()
		default:
			if schedutil.IsScalarResourceName(name) {
				a.Scalar = append(a.Scalar, Scalar{name, q.Value()})
			}
		}
	}
	slices.SortFunc(a.Scalar, func(x, y Scalar) int { return cmp.Compare(x.Name, y.Name) })
	return a
}

// Of gives the amount of one resource.
func (a *Amounts) Of(name corev1.ResourceName) int64 {
	switch name {
	case corev1.ResourceCPU:
		return a.MilliCPU
	case corev1.ResourceMemory:
		return a.Memory
	case corev1.ResourceEphemeralStorage:
		return a.EphemeralStorage
	case corev1.ResourcePods:
		return a.Pods
	}
	for i := range a.Scalar {
		if a.Scalar[i].Name == name {
			return a.Scalar[i].Value
		}
	}
	return 0
}

// add adds n times b. The slice of scalars is a's own afterwards.
func (a *Amounts) add(b *Amounts, n int64) {
	a.MilliCPU += n * b.MilliCPU
	a.Memory += n * b.Memory
	a.EphemeralStorage += n * b.EphemeralStorage
	a.Pods += n * b.Pods
	for _, s := range b.Scalar {
		i := slices.IndexFunc(a.Scalar, func(x Scalar) bool { return x.Name == s.Name })
		if i < 0 {
			a.Scalar = append(slices.Clone(a.Scalar), Scalar{Name: s.Name})
			i = len(a.Scalar) - 1
		}
		a.Scalar[i].Value += n * s.Value
	}
}

// requests is what a pod takes of its node: sums and maxima over its containers,
// sidecars and init containers, its overhead, and its place among the node's
// pods. The status counts too: while a pod is resized in place the larger of the
// old and the new request holds.
func requests(pod *corev1.Pod, resized bool) Amounts {
	var a Amounts
	if spec := &pod.Spec; resized || len(spec.InitContainers) > 0 || len(spec.Overhead) > 0 || spec.Resources != nil {
		a = AmountsOf(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{UseStatusResources: true}))
	} else {
		// The usual pod asks for the sum of its containers' requests.
		for i := range spec.Containers {
			if list := spec.Containers[i].Resources.Requests; len(list) > 0 {
				one := AmountsOf(list)
				a.add(&one, 1)
			}
		}
	}
	a.Pods = 1
	return a
}
