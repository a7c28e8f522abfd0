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
	if c.node.Allocatable.Of(gpu) > 0 || p.hardware(c, gpu) > 0 {
		t, over = p.o.GPUUtilizationThreshold, c.group.ScaleDown.GPUUtilizationThreshold
	}
	if over != nil {
		return *over
	}
	return t
}

// utilization is the larger share of cpu and memory that the requests of the
// node's pods take; on a node with GPUs the share of those, and none while its driver
// offers none of them. What counts as nothing:
//   - expendable pods and overdue ones;
//   - static pods: they go with the node, and what they request is its own word
//     (NodeRestriction lets a kubelet make its mirror pods);
//   - daemons where they are to be ignored, which count neither as use nor as room.
func (p *planner) utilization(c *candidate) float64 {
	n := c.node
	ignore := p.o.IgnoreDaemonSetsUtilization
	if o := c.group.ScaleDown.IgnoreDaemonSetsUtilization; o != nil {
		ignore = *o
	}
	used, have := useOf(&n.Used), useOf(&n.Size)
	have.gpu = n.Allocatable.Of(gpu)
	offered := have.gpu
	have.gpu = max(have.gpu, p.hardware(c, gpu))
	for _, list := range [2][]cluster.Pod{n.Residents, n.Daemons} {
		for i := range list {
			r := &list[i].Class.Requests
			switch pod := list[i].Pod; {
			case list[i].Class.Expendable(), kube.MirrorPod(pod), kube.Overdue(pod, p.now):
				used.less(r)
			case ignore && kube.DaemonSetPod(pod):
				used.less(r)
				have.less(r)
			}
		}
	}
	switch {
	case have.gpu > 0 && offered == 0:
		return 0
	case offered > 0:
		return share(used.gpu, have.gpu)
	default:
		return max(share(used.cpu, have.cpu), share(used.memory, have.memory))
	}
}

// use are the amounts by which a node's use is measured.
type use struct{ cpu, memory, gpu int64 }

func useOf(a *cluster.Amounts) use { return use{a.MilliCPU, a.Memory, a.Of(gpu)} }

// less takes the requests of a pod away.
func (u *use) less(r *cluster.Amounts) {
	u.cpu -= r.MilliCPU
	u.memory -= r.Memory
	u.gpu -= r.Of(gpu)
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

func share(part, whole int64) float64 {
	if whole <= 0 {
		return 1
	}
	return float64(part) / float64(whole)
}
