package fit

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// SortPods orders pods for packing: higher priority first, as the scheduler
// would take them, then the larger first, which packs tighter, then by name.
// Size is the share of cpu plus the share of memory of the largest new node of
// the groups. Planners that must agree on a packing use the same order.
func SortPods(pods []*corev1.Pod, groups []cluster.Group) {
	cpu, memory := 1.0, 1.0
	for i := range groups {
		if t := groups[i].Template; t != nil {
			cpu = max(cpu, t.Allocatable.Cpu().AsApproximateFloat64())
			memory = max(memory, t.Allocatable.Memory().AsApproximateFloat64())
		}
	}
	sizes := make(map[*corev1.Pod]float64, len(pods))
	for _, pod := range pods {
		r := resource.PodRequests(pod, resource.PodResourcesOptions{})
		sizes[pod] = r.Cpu().AsApproximateFloat64()/cpu + r.Memory().AsApproximateFloat64()/memory
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(
			cmp.Compare(corev1helpers.PodPriority(b), corev1helpers.PodPriority(a)),
			cmp.Compare(sizes[b], sizes[a]),
			cluster.ComparePods(a, b))
	})
}
