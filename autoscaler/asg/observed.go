package asg

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Sight is the nodes of a cluster by the instances that they run on, for what
// they tell about the nodes to come.
type Sight struct {
	nodes map[cluster.InstanceID]*corev1.Node // Ready ones
	csi   map[string]*storagev1.CSINode       // by node name
}

// Look makes a Sight of the nodes and of what CSI drivers registered on them.
func Look(nodes []*corev1.Node, csi []*storagev1.CSINode) *Sight {
	s := &Sight{nodes: make(map[cluster.InstanceID]*corev1.Node, len(nodes)), csi: make(map[string]*storagev1.CSINode, len(csi))}
	for _, n := range nodes {
		if id := InstanceOf(n); id != "" && ready(n) {
			s.nodes[id] = n
		}
	}
	for _, c := range csi {
		s.csi[c.Name] = c
	}
	return s
}

// Template returns the group's template with what its Ready nodes of the same
// launch template version, image and instance type report: the least of each
// resource and of each driver's attach limit, and the labels on which all of them
// agree and that the template lacks, as kubelet, cloud controller and device
// plugins set them. A resource that only the template knows, such as a GPU whose
// device plugin has not started on the node yet, stays; taints are not learned.
// Of a mixed group each type is looked at by itself, and a type without a node
// counts as its template says. Nothing is changed in place; nil when the group
// has no template.
func (s *Sight) Template(g cluster.Group, known Known) *cluster.Template {
	if g.Template == nil {
		return nil
	}
	kinds := known.kinds
	if len(kinds) == 0 {
		kinds = []kind{{g.InstanceType, g.Template}}
	}
	tells := known.tells(&g)
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
		all = append(all, s.observed(k.template, seen[k.name]))
	}
	return combine(all)
}

// observed is the template of one type with what its nodes report.
func (s *Sight) observed(t *cluster.Template, nodes []*corev1.Node) *cluster.Template {
	var capacity, allocatable corev1.ResourceList
	var labels map[string]string
	limits := t.AttachLimits
	for i, n := range nodes {
		capacity = least(capacity, n.Status.Capacity)
		allocatable = least(allocatable, n.Status.Allocatable)
		limits = leastLimits(limits, s.attachLimits(n))
		if i == 0 {
			labels = ofAnyNode(n)
			continue
		}
		labels = agreed(labels, ofAnyNode(n))
	}
	if capacity == nil || allocatable == nil {
		return t
	}
	out := *t
	out.Capacity = overlay(t.Capacity, capacity)
	out.Allocatable = overlay(t.Allocatable, allocatable)
	out.AttachLimits = limits
	out.Labels = labels
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

// ofAnyNode are the labels of a node without those that belong to it alone or to
// where it runs. Of the EBS driver's zone label it is known only that the node
// has it: cluster.Template sets the value.
func ofAnyNode(n *corev1.Node) map[string]string {
	labels := map[string]string{}
	for key, value := range n.Labels {
		if key == cluster.EBSZoneLabel {
			labels[key] = ""
		} else if !ownLabel(n, key, value) {
			labels[key] = value
		}
	}
	return labels
}

// ownLabel reports a label that says which node this is, where it is, or what an
// operator wants of this one alone.
func ownLabel(n *corev1.Node, key, value string) bool {
	domain, name, _ := strings.Cut(key, "/")
	switch {
	case strings.HasPrefix(domain, "topology.") || strings.HasPrefix(domain, "failure-domain."):
		return true
	case key == corev1.LabelHostname || strings.HasPrefix(key, "node.kubernetes.io/exclude"):
		return true
	case strings.Contains(name, "zone") || strings.Contains(name, "region"):
		return true
	}
	host, _, _ := strings.Cut(n.Name, ".")
	return value != "" && (value == n.Name || value == host || strings.Contains(value, InstanceOf(n)))
}

// InstanceOf returns the id of the instance that a Node runs on, from its
// providerID (aws:///<zone>/<id>); empty when it has none.
func InstanceOf(n *corev1.Node) string {
	rest, ok := strings.CutPrefix(n.Spec.ProviderID, "aws://")
	if !ok {
		return ""
	}
	id := rest[strings.LastIndex(rest, "/")+1:]
	if !strings.HasPrefix(id, "i-") {
		return ""
	}
	return id
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func least(have, more corev1.ResourceList) corev1.ResourceList {
	if len(more) == 0 {
		return have
	}
	if have == nil {
		return more.DeepCopy()
	}
	for name, q := range more {
		if old, ok := have[name]; ok && q.Cmp(old) < 0 {
			have[name] = q
		}
	}
	return have
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
