package v1alpha1

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

var (
	clusterName   = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$`)
	parameterName = regexp.MustCompile(`^/[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*$`)
	preflightName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

func (c *NodeConfig) validate() problems {
	var p problems
	p.cluster("spec.cluster", c.Spec.Cluster)
	if c.Spec.Cluster != "" || c.Spec.Parameter != "" {
		p.parameter("spec.parameter", c.Spec.Parameter)
	}
	p.nameMode("spec.nodeName.mode", c.Spec.NodeName.Mode)
	for _, k := range slices.Sorted(maps.Keys(c.Spec.Labels)) {
		p.label("spec.labels", k, c.Spec.Labels[k])
	}
	p.taints("spec.taints", c.Spec.Taints)
	p.kubelet("spec.kubelet", c.Spec.Kubelet)
	for i, e := range c.Spec.Kubeadm.IgnorePreflightErrors {
		if strings.EqualFold(e, "all") || !preflightName.MatchString(e) {
			p.add(fmt.Sprintf("spec.kubeadm.ignorePreflightErrors[%d]", i), e, "expected the name of one kubeadm preflight check")
		}
	}
	return p
}

// cluster names become part of an SSM parameter name, a label value and a tag.
func (p *problems) cluster(field, v string) {
	switch {
	case v == "":
		p.add(field, "", "required: expected the name of the cluster")
	case !clusterName.MatchString(v):
		p.add(field, v, "expected at most 63 letters, digits, '.', '_' or '-', a letter or digit first and last")
	}
}

func (p *problems) parameter(field, v string) {
	if !parameterName.MatchString(v) || len(v) > 1011 {
		p.add(field, v, "expected a full SSM parameter name such as /joinery/<cluster>/join")
	}
}

func (p *problems) nameMode(field string, v NodeNameMode) {
	if v != IPName && v != ResourceName && v != InstanceIDName {
		p.add(field, string(v), "expected %s, %s or %s", IPName, ResourceName, InstanceIDName)
	}
}

func (p *problems) label(field, key, value string) {
	path := fmt.Sprintf("%s[%s]", field, key)
	for _, e := range validation.IsQualifiedName(key) {
		p.add(path, key, "expected a label key: %s", e)
	}
	for _, e := range validation.IsValidLabelValue(value) {
		p.add(path, value, "expected a label value: %s", e)
	}
	switch {
	case instanceLabels[key]:
		p.add(path, value, "may not be set: it is taken from the instance itself")
	case controlPlaneLabels[key]:
		p.add(path, key, "may not be set: it makes the cluster take the node for a master")
	case OwnLabel(key):
		p.add(path, key, "may not be set: under %s the controller records what no node may say of itself", OwnLabelDomain)
	case !KubeletMaySet(key) && !restricted(key):
		p.add(path, key, "may not be set: of the reserved domains only node-role.kubernetes.io, node-restriction.kubernetes.io and what a kubelet may set itself are taken")
	}
}

// instanceLabels are the labels of reserved domains that tell what and where
// the instance is, with their old names. A kubelet may set them (KEP-279), and
// the agent and the kubelet do, so that they cannot differ from what the planner
// expects.
var instanceLabels = map[string]bool{
	corev1.LabelHostname: true, corev1.LabelInstanceTypeStable: true, corev1.LabelOSStable: true, corev1.LabelArchStable: true,
	corev1.LabelTopologyZone: true, corev1.LabelTopologyRegion: true,
	"beta.kubernetes.io/os": true, "beta.kubernetes.io/arch": true, corev1.LabelInstanceType: true,
	corev1.LabelFailureDomainBetaZone: true, corev1.LabelFailureDomainBetaRegion: true,
}

// controlPlaneLabels make a node a master to schedulers, load balancers and
// upgrade tools.
var controlPlaneLabels = map[string]bool{
	"node-role.kubernetes.io/control-plane": true, "node-role.kubernetes.io/master": true,
}

const (
	roleDomain        = "node-role.kubernetes.io"
	restrictionDomain = "node-restriction.kubernetes.io"
)

// KubeletMaySet reports whether a kubelet may set the label on its own Node, by
// the rule of the admission plugin NodeRestriction (KEP-279).
func KubeletMaySet(key string) bool {
	domain, _, qualified := strings.Cut(key, "/")
	switch {
	case !qualified || instanceLabels[key]:
		return true
	case under(domain, restrictionDomain):
		return false
	case !under(domain, "kubernetes.io") && !under(domain, "k8s.io"):
		return true
	}
	return under(domain, "kubelet.kubernetes.io") || under(domain, "node.kubernetes.io")
}

// ControllerSets reports whether the controller sets the label on the nodes of a
// group that declares it: one that a kubelet may not set, and that makes no node
// a control-plane node and records nothing.
func ControllerSets(key string) bool {
	return !KubeletMaySet(key) && !ControlPlaneLabel(key) && !OwnLabel(key)
}

// OwnLabel reports whether the label is of OwnLabelDomain. No declaration sets it.
func OwnLabel(key string) bool { return strings.HasPrefix(key, OwnLabelDomain+"/") }

// ControlPlaneLabel reports whether the label makes a node a master. No
// declaration sets it.
func ControlPlaneLabel(key string) bool { return controlPlaneLabels[key] }

// restricted reports whether the label is of a family that is there to say what
// a node may not say of itself.
func restricted(key string) bool {
	domain, _, _ := strings.Cut(key, "/")
	return domain == roleDomain || under(domain, restrictionDomain)
}

func under(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

func (p *problems) taints(field string, taints []corev1.Taint) {
	type identity struct {
		key    string
		effect corev1.TaintEffect
	}
	seen := map[identity]bool{}
	for i, t := range taints {
		path := fmt.Sprintf("%s[%d]", field, i)
		for _, e := range validation.IsQualifiedName(t.Key) {
			p.add(path+".key", t.Key, "expected a taint key: %s", e)
		}
		for _, e := range validation.IsValidLabelValue(t.Value) {
			p.add(path+".value", t.Value, "expected a taint value: %s", e)
		}
		switch t.Effect {
		case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
		default:
			p.add(path+".effect", string(t.Effect), "expected NoSchedule, PreferNoSchedule or NoExecute")
		}
		if t.TimeAdded != nil {
			p.add(path+".timeAdded", "", "must not be set: the API server sets it")
		}
		id := identity{t.Key, t.Effect}
		if seen[id] {
			p.add(path, t.Key, "duplicate taint: the same key and effect stand above")
		}
		seen[id] = true
	}
}
