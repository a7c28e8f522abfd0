package scaledown

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
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
// Static pods are no use: they go with the node, and what they request is its own
// word (NodeRestriction lets a kubelet make its mirror pods).
func (p *planner) utilization(c *candidate) float64 {
	n := c.node
	ignore := p.o.IgnoreDaemonSetsUtilization
	if o := c.group.ScaleDown.IgnoreDaemonSetsUtilization; o != nil {
		ignore = *o
	}
	used, have := n.Used, n.Size
	var mirrored int64 // GPUs that static pods request
	for _, list := range [2][]cluster.Pod{n.Residents, n.Daemons} {
		for i := range list {
			r := &list[i].Class.Requests
			switch {
			case list[i].Class.Expendable():
				used = less(used, r)
			case kube.MirrorPod(list[i].Pod):
				used = less(used, r)
				mirrored += r.Of(gpu)
			case ignore && kube.DaemonSetPod(list[i].Pod):
				used, have = less(used, r), less(have, r)
			}
		}
	}
	if total := n.Allocatable.Of(gpu); total > 0 {
		return share(used.Of(gpu)-mirrored, max(total, p.hardware(c, gpu)))
	}
	return max(share(used.MilliCPU, have.MilliCPU), share(used.Memory, have.Memory))
}

// hardware is how much of a resource the instance type of the node has; 0 where that
// is not known.
func (p *planner) hardware(c *candidate, name corev1.ResourceName) int64 {
	if c.node.Instance == nil {
		return 0
	}
	have := c.group.Hardware[c.node.Instance.Type]
	return have.Of(name)
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
