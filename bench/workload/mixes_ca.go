package workload

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// ReplicaSets makes so many ReplicaSets in the shape that Cluster Autoscaler was
// measured on: up to three cores and one to six GiB for each core.
func ReplicaSets(count int) Mix {
	return constrained(count, func(string) func(*corev1.Pod) { return func(*corev1.Pod) {} })
}

// ReplicaSetsApart is ReplicaSets with pods that share no node with their like.
func ReplicaSetsApart(count int) Mix { return constrained(count, antiAffinity(corev1.LabelHostname)) }

// ReplicaSetsSpread is ReplicaSets with pods spread evenly over the zones.
func ReplicaSetsSpread(count int) Mix { return constrained(count, spread(corev1.LabelTopologyZone)) }

// TenPerNode makes a single ReplicaSet, ten pods of which fill the first of
// FourShapes.
func TenPerNode(m *maker, pods int) {
	for range pods {
		m.add("rs-ten", 400, 1638)
	}
}

func constrained(count int, constraint func(app string) func(*corev1.Pod)) Mix {
	return func(m *maker, pods int) {
		for set := range count {
			cpu := pick(m, []int64{100, 250, 250, 500, 500, 500, 1000, 1000, 2000, 3000})
			memory := cpu * int64(1+m.random.IntN(6)) * 1024 / 1000
			app := fmt.Sprintf("rs-%03d", set)
			for range pods*(set+1)/count - pods*set/count {
				m.add(app, cpu, memory, constraint(app))
			}
		}
	}
}
