package asg

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Observed returns the group's template with the capacity and allocatable that
// Ready nodes of the same launch template version and instance type report, the
// least of each resource where they differ; the template itself when there is
// no such node. A resource that only the template knows, such as a GPU whose
// device plugin has not started on the node yet, stays. Nothing is changed in
// place.
func Observed(g cluster.Group, nodes []*corev1.Node) *cluster.Template {
	if g.Template == nil {
		return nil
	}
	byInstance := map[string]*corev1.Node{}
	for _, n := range nodes {
		if id := InstanceOf(n); id != "" && ready(n) {
			byInstance[id] = n
		}
	}
	var capacity, allocatable corev1.ResourceList
	for _, i := range g.Instances {
		n := byInstance[i.ID]
		if n == nil || i.LaunchTemplateVersion != g.LaunchTemplateVersion || (g.InstanceType != "" && i.Type != g.InstanceType) {
			continue
		}
		capacity = least(capacity, n.Status.Capacity)
		allocatable = least(allocatable, n.Status.Allocatable)
	}
	if capacity == nil || allocatable == nil {
		return g.Template
	}
	t := *g.Template
	t.Capacity = overlay(t.Capacity, capacity)
	t.Allocatable = overlay(t.Allocatable, allocatable)
	return &t
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
	for name, q := range over {
		list[name] = q.DeepCopy()
	}
	return list
}
