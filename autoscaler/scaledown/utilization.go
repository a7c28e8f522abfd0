package scaledown

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// gpu is the resource that Cluster Autoscaler's GPU threshold is about.
const gpu = corev1.ResourceName("nvidia.com/gpu")

// threshold is the share of use from which on the node stays.
func (p *planner) threshold(c *candidate) float64 {
	t, over := p.o.UtilizationThreshold, c.group.ScaleDown.UtilizationThreshold
	if c.node.Allocatable.Of(gpu) > 0 {
		t, over = p.o.GPUUtilizationThreshold, c.group.ScaleDown.GPUUtilizationThreshold
	}
	if over != nil {
		return *over
	}
	return t
}

// utilization is the larger share of cpu and memory that the requests of the
// node's pods take, expendable ones not counted; on a node with GPUs the share of
// those. Where daemons are to be ignored, they count neither as use nor as room.
func (p *planner) utilization(c *candidate) float64 {
	n := c.node
	ignore := p.o.IgnoreDaemonSetsUtilization
	if o := c.group.ScaleDown.IgnoreDaemonSetsUtilization; o != nil {
		ignore = *o
	}
	used, have := n.Used, n.Allocatable
	for _, list := range [2][]cluster.Pod{n.Residents, n.Daemons} {
		for i := range list {
			r := &list[i].Class.Requests
			switch {
			case list[i].Class.Expendable():
				used = less(used, r)
			case ignore && cluster.OwnedByDaemonSet(list[i].Pod):
				used, have = less(used, r), less(have, r)
			}
		}
	}
	if total := have.Of(gpu); total > 0 {
		return share(used.Of(gpu), total)
	}
	return max(share(used.MilliCPU, have.MilliCPU), share(used.Memory, have.Memory))
}

// less takes the cpu and memory of a pod away.
func less(a cluster.Amounts, r *cluster.Amounts) cluster.Amounts {
	a.MilliCPU -= r.MilliCPU
	a.Memory -= r.Memory
	return a
}

func share(part, whole int64) float64 {
	if whole <= 0 {
		return 1
	}
	return float64(part) / float64(whole)
}
