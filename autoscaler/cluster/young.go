package cluster

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"
)

// Young reports whether a Node may still get what it will have: device plugins, CSI
// drivers and controllers come to a node after its kubelet is Ready.
//   - The Node was created less than StartupTimeout ago.
//   - The launch of its instance counts where the Node has no creation time.
//   - Without any time, or with now zero, it is young.
func Young(node *corev1.Node, inst *Instance, now time.Time) bool {
	since := node.CreationTimestamp.Time
	if since.IsZero() && inst != nil {
		since = inst.LaunchedAt
	}
	return young(since, now)
}

// Reported reports whether the Node tells about a resource:
//   - it is in its allocatable;
//   - not with a capacity of zero beside it: so the kubelet shows a resource of a
//     device plugin that has not come back yet.
//
// None allocatable of some capacity is a report: the devices are broken.
func Reported(node *corev1.Node, name corev1.ResourceName) bool {
	if _, ok := node.Status.Allocatable[name]; !ok {
		return false
	}
	capacity, ok := node.Status.Capacity[name]
	return !ok || !capacity.IsZero()
}

// promised reports whether the group's template says what the node will have: there is
// one, and the node was launched from the same version.
func (n *NodeState) promised(g *Group) bool {
	if g == nil || g.Template == nil || n.Instance == nil {
		return false
	}
	own := n.Instance.LaunchTemplateVersion
	return own == "" || g.LaunchTemplateVersion == "" || own == g.LaunchTemplateVersion
}

// complete returns a young node with what the template promises and it does not have yet:
// resources, labels, and attach limits. What the node itself says wins. The node counts
// as Starting while something is missing that comes after the kubelet.
func (n *NodeState) complete(node *corev1.Node, t *Template) *corev1.Node {
	resources, devices := missingResources(node, t)
	labels, late := missingLabels(node, t, n.Zone)
	if n.addLimits(t.AttachLimits) || devices || late {
		n.Kind = Starting
	}
	if len(resources)+len(labels) == 0 {
		return node
	}
	out := *node
	if len(labels) > 0 {
		maps.Copy(labels, node.Labels)
		out.Labels = labels
	}
	if len(resources) > 0 {
		maps.Copy(resources, kept(node.Status.Allocatable, resources))
		out.Status.Allocatable = resources
	}
	return &out
}

// kept is what of a list another one does not name.
func kept(list, other corev1.ResourceList) corev1.ResourceList {
	out := make(corev1.ResourceList, len(list))
	for name, q := range list {
		if _, ok := other[name]; !ok {
			out[name] = q
		}
	}
	return out
}

// missingResources returns the template's resources that the node does not report. devices
// reports whether one of them is a device plugin's.
func missingResources(node *corev1.Node, t *Template) (missing corev1.ResourceList, devices bool) {
	for name, q := range t.Allocatable {
		if q.IsZero() || Reported(node, name) {
			continue
		}
		if missing == nil {
			missing = make(corev1.ResourceList, len(t.Allocatable)+len(node.Status.Allocatable))
		}
		missing[name] = q
		devices = devices || schedutil.IsScalarResourceName(name)
	}
	return missing, devices
}

// ofKubelet are the labels of the template that a kubelet registers with, or that the
// cloud provider sets before it takes UninitializedTaint off: no node is waited for
// because of them.
var ofKubelet = map[string]bool{
	corev1.LabelArchStable: true, corev1.LabelOSStable: true, corev1.LabelInstanceTypeStable: true, corev1.LabelHostname: true,
}

// missingLabels returns the labels that a node of the template has in the zone and this
// one does not. late reports whether the template itself names one that comes after the
// kubelet.
func missingLabels(node *corev1.Node, t *Template, zone string) (missing map[string]string, late bool) {
	t.eachLabel(node.Name, zone, func(key, value string) {
		if _, ok := node.Labels[key]; ok {
			return
		}
		if missing == nil {
			missing = map[string]string{}
		}
		missing[key] = value
		_, named := t.Labels[key]
		late = late || named && !ofKubelet[key]
	})
	return missing, late
}

// addLimits adds the limits of drivers that have not registered on the node, and reports
// whether there are any.
func (n *NodeState) addLimits(promised map[string]int32) bool {
	missing := false
	for driver, limit := range promised {
		// A driver that has registered without a limit has none.
		if _, ok := n.AttachLimits[driver]; ok || n.has(driver) {
			continue
		}
		if !missing {
			missing = true
			n.AttachLimits = maps.Clone(n.AttachLimits)
			if n.AttachLimits == nil {
				n.AttachLimits = map[string]int32{}
			}
		}
		n.AttachLimits[driver] = limit
	}
	return missing
}
