package asg

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/kube"
)

// Sight is the nodes of a cluster by the instances that they are, for what they
// tell about the nodes to come.
type Sight struct {
	nodes map[cluster.InstanceID]*corev1.Node // Ready ones
	csi   map[string]*storagev1.CSINode       // by node name
}

// Look makes a Sight of the nodes and of what CSI drivers registered on them. Only
// a Node that its verdict binds to an instance, or that was adopted as one, tells
// anything; bindings holds the verdicts by node name.
func Look(nodes []*corev1.Node, csi []*storagev1.CSINode, bindings map[string]binding.Verdict) *Sight {
	s := &Sight{nodes: make(map[cluster.InstanceID]*corev1.Node, len(nodes)), csi: make(map[string]*storagev1.CSINode, len(csi))}
	for _, n := range nodes {
		if v := bindings[n.Name]; v.Counts() && kube.KubeletReady(n) {
			s.nodes[v.InstanceID] = n
		}
	}
	for _, c := range csi {
		s.csi[c.Name] = c
	}
	return s
}

// Template returns the group's template with what its Ready nodes of the same
// launch template version, image and instance type report, as far as one of them
// alone is believed (see learned): resources, attach limits of drivers, and the
// labels that the template lacks, as kubelet, cloud controller and device plugins
// set them. A resource that only the template knows, such as a GPU whose device
// plugin has not started on the node yet, stays; taints are not learned. Of a mixed
// group each type is looked at on its own, and a type without a node counts as its
// template says. The order of nodes and instances changes nothing. Nothing is
// changed in place; nil when the group has no template.
func (s *Sight) Template(g cluster.Group, known Known) *cluster.Template {
	if g.Template == nil {
		return nil
	}
	kinds := known.kinds
	if len(kinds) == 0 {
		kinds = []kind{{name: g.InstanceType, template: g.Template}}
	}
	image, tells := known.tells(&g)
	seen := map[string][]*corev1.Node{} // type -> nodes
	for _, i := range g.Instances {
		if n := s.nodes[i.ID]; n != nil && tells(i) {
			seen[i.Type] = append(seen[i.Type], n)
		}
	}
	if len(seen) == 0 {
		return g.Template
	}
	all := make([]*cluster.Template, 0, len(kinds))
	for _, k := range kinds {
		nodes := seen[k.name]
		if len(nodes) == 0 {
			all = append(all, k.template)
			continue
		}
		of := learnedOf{k.name, g.LaunchTemplateVersion, image}
		all = append(all, known.memory.settle(of, len(nodes), s.learn(k, nodes)).over(k.template))
	}
	return combine(all)
}

// learned is what the nodes of one type tell about the next one. See believed,
// agreedLimit and agreedLabels for how far.
type learned struct {
	capacity, allocatable corev1.ResourceList
	limits                map[string]int32
	labels                map[string]string
}

// learn asks the nodes.
func (s *Sight) learn(k kind, nodes []*corev1.Node) learned {
	var l learned
	var capacity, allocatable []corev1.ResourceList
	var limits []map[string]int32
	var labels []map[string]string
	for _, n := range nodes {
		capacity = append(capacity, n.Status.Capacity)
		allocatable = append(allocatable, n.Status.Allocatable)
		limits = append(limits, s.attachLimits(n))
		labels = append(labels, ofAnyNode(n))
	}
	l.capacity = agreedAmounts(capacity, k.template.Capacity, k.facts)
	l.allocatable = agreedAmounts(allocatable, k.template.Allocatable, k.facts)
	l.limits, l.labels = agreedLimits(limits), agreedLabels(labels)
	return l
}

// over lays what was learned over the template. Labels of the template win: they
// are declared.
func (l learned) over(t *cluster.Template) *cluster.Template {
	out := *t
	out.Capacity, out.Allocatable = overlay(t.Capacity, l.capacity), overlay(t.Allocatable, l.allocatable)
	out.AttachLimits = leastLimits(t.AttachLimits, l.limits)
	out.Labels = maps.Clone(l.labels)
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	maps.Copy(out.Labels, t.Labels)
	return &out
}

// attachLimits are the limits that drivers registered on a node.
func (s *Sight) attachLimits(n *corev1.Node) map[string]int32 {
	c := s.csi[n.Name]
	if c == nil {
		return nil
	}
	limits := map[string]int32{}
	for _, d := range c.Spec.Drivers {
		if d.Allocatable != nil && d.Allocatable.Count != nil {
			limits[d.Name] = *d.Allocatable.Count
		}
	}
	return limits
}

func overlay(base, over corev1.ResourceList) corev1.ResourceList {
	list := base.DeepCopy()
	if list == nil {
		list = corev1.ResourceList{}
	}
	for name, q := range over {
		list[name] = q.DeepCopy()
	}
	return list
}
