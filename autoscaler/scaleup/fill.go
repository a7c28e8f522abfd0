package scaleup

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// filling is the growth of one group for some pods.
type filling struct {
	p     *planner
	group *cluster.Group
	// open are the groups of all nodes that the plan has opened, in order; nodes
	// those that this filling has added.
	open  []string
	nodes []*cluster.NodeState
	rest  []*corev1.Pod
	// hopeless: keys of monotone classes that no new node of the group takes.
	hopeless map[string]bool
}

// fill places the pods on as many new nodes of the group as they need and the
// limits allow. The nodes stay in the snapshot.
func (p *planner) fill(g *cluster.Group, packer *fit.Packer, pods []*corev1.Pod, open []string) *filling {
	f := &filling{p: p, group: g, open: slices.Clone(open), hopeless: map[string]bool{}}
	f.rest = p.pack(packer, pods, f.openNode)
	return f
}

// openNode opens the node that the pod fits on. In a group of several zones that
// may take several nodes, see the package comment; when no zone helps, none is
// kept.
func (f *filling) openNode(packer *fit.Packer, pod *corev1.Pod) *cluster.NodeState {
	class := packer.Class(pod)
	if f.hopeless[class.Key] {
		return nil
	}
	f.p.s.Fork()
	trial, open := packer.Clone(), slices.Clone(f.open)
	var nodes []*cluster.NodeState
	for range max(1, len(f.group.Zones)) {
		if f.p.refuses(f.group, open) != "" {
			break
		}
		node := f.p.s.AddPlanned(f.group.Name, plannedName(f.group.Name, len(open)))
		open, nodes = append(open, f.group.Name), append(nodes, node)
		trial.Add(node)
		if home := trial.Place(pod); home != nil {
			f.p.s.Commit()
			*packer = *trial
			f.open, f.nodes = open, append(f.nodes, nodes...)
			return home
		}
	}
	f.p.s.Revert()
	if class.Monotone {
		f.hopeless[class.Key] = true
	}
	return nil
}
