package asg

import (
	"maps"
	"time"

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
	now   time.Time                           // zero when not known
	pods  func(node string) []cluster.NodePod // nil when not known
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

// At tells the Sight the time, by which nodes are young or have settled: what a settled
// node does not have, it will not get. Without it no node is either.
func (s *Sight) At(now time.Time) *Sight {
	s.now = now
	return s
}

// Template returns the group's template with what its Ready nodes of the same
// launch template version, image and instance type report, as far as one of them
// alone is believed (see learned): resources, attach limits of drivers, and the
// labels that the template lacks, as kubelet, cloud controller and device plugins
// set them, static pods, and what pods of DaemonSets request there. Of a type without a node, what earlier ones told is taken, and of one that
// never had any the template. A young node does not tell what it lacks; taints are not
// learned. Of a mixed group each type is looked at on its own. The order of nodes and
// instances changes nothing. Nothing is changed in place; nil when the group has no
// template.
func (s *Sight) Template(g cluster.Group, known Known) *cluster.Template {
	if g.Template == nil {
		return nil
	}
	kinds := known.kinds
	if len(kinds) == 0 {
		kinds = []kind{{name: g.InstanceType, template: g.Template}}
	}
	image, tells := known.tells(&g)
	seen := map[string][]teller{} // type -> nodes
	for ii := range g.Instances {
		i := &g.Instances[ii]
		if n := s.nodes[i.ID]; n != nil && tells(*i) {
			seen[i.Type] = append(seen[i.Type], s.teller(n, i))
		}
	}
	all := make([]*cluster.Template, 0, len(kinds))
	same := true
	for _, k := range kinds {
		t := s.templateOf(k, learnedOf{k.name, g.LaunchTemplateVersion, image}, seen[k.name], known.memory)
		same = same && t == k.template
		all = append(all, t)
	}
	if same {
		return g.Template
	}
	return combine(all)
}

// templateOf is Template for one type.
func (s *Sight) templateOf(k kind, of learnedOf, nodes []teller, m *memory) *cluster.Template {
	have, told := m.recall(of)
	if len(nodes) == 0 {
		if told == 0 {
			return k.template
		}
		return have.over(k.template)
	}
	if told == 1 && len(nodes) > 1 {
		have = learned{} // one alone cannot bind several
	}
	return m.settle(of, len(nodes), s.learn(k, nodes, have)).over(k.template)
}

// teller is a node that tells about those to come.
type teller struct {
	*corev1.Node
	// young nodes may still get what they lack, settled ones will not. Neither when
	// the time is not known.
	young, settled bool
}

func (s *Sight) teller(n *corev1.Node, i *cluster.Instance) teller {
	if s.now.IsZero() {
		return teller{Node: n}
	}
	young := cluster.Young(n, i, s.now)
	return teller{n, young, !young}
}

// learned is what the nodes of one type tell about the next one. See believed,
// agreedLimits and agreedLabels for how far.
type learned struct {
	capacity, allocatable corev1.ResourceList
	limits                map[string]int32
	labels                map[string]string
	pods                  []cluster.NodePod
}

// learn asks the nodes. Of what have names, young nodes tell only what they have.
func (s *Sight) learn(k kind, nodes []teller, have learned) learned {
	var l learned
	reports := make([]report, 0, len(nodes))
	limits := make([]map[string]int32, 0, len(nodes))
	labels := make([]map[string]string, 0, len(nodes))
	for _, n := range nodes {
		reports = append(reports, report{n, reported(n)})
		limits = append(limits, s.attachLimits(n.Node))
		labels = append(labels, ofAnyNode(n.Node))
	}
	l.allocatable = agreedAmounts(reports, k.template.Allocatable, have.allocatable, k.facts)
	for i, n := range nodes {
		reports[i].list = n.Status.Capacity
	}
	l.capacity = agreedAmounts(reports, k.template.Capacity, have.capacity, k.facts)
	l.limits, l.labels = agreedLimits(nodes, limits, have.limits), agreedLabels(nodes, labels, have.labels)
	l.pods = s.agreedPods(nodes, have.pods, k.template.Allocatable)
	return l
}

// reported is what the node has allocatable, without what a young one has not reported.
func reported(n teller) corev1.ResourceList {
	list := n.Status.Allocatable
	for name := range list {
		if n.young && !cluster.Reported(n.Node, name) {
			list = maps.Clone(list)
			delete(list, name)
		}
	}
	return list
}

// over lays what was learned over the template. Labels of the template win: they
// are declared.
func (l learned) over(t *cluster.Template) *cluster.Template {
	out := *t
	out.Capacity, out.Allocatable = overlay(t.Capacity, l.capacity), overlay(t.Allocatable, l.allocatable)
	out.AttachLimits, out.NodePods = leastLimits(t.AttachLimits, l.limits), l.pods
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
