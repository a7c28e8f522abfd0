package cluster

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/kube"
)

// EBSZoneLabel is the zone label that the EBS CSI driver puts on its nodes and
// that the volumes it makes ask for.
const EBSZoneLabel = "topology.ebs.csi.aws.com/zone"

// Template is what a new node of a group looks like, whatever its zone.
type Template struct {
	// Labels of the node, without those that depend on name and zone.
	Labels map[string]string
	Taints []corev1.Taint
	// Capacity and Allocatable carry at least cpu, memory and pods.
	Capacity, Allocatable corev1.ResourceList
	// AttachLimits: CSI driver -> how many of its volumes a node takes. A driver
	// that is not named has no limit that is known.
	AttachLimits map[string]int32
	// NodePods are what nodes told about the pods that each of them has.
	NodePods []NodePod
}

// Node imagines a ready node of this template, as of a cluster without rules of its own
// for taints.
func (t *Template) Node(name, zone string) *corev1.Node {
	return t.node(name, zone, &kube.TaintRules{})
}

// node imagines a ready node of this template. Taints that a new node does not keep are
// left out, since they go before pods come.
func (t *Template) node(name, zone string, rules *kube.TaintRules) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: t.labels(name, zone)},
		Spec:       corev1.NodeSpec{Taints: slices.DeleteFunc(slices.Clone(t.Taints), rules.Passing)},
		Status: corev1.NodeStatus{
			Capacity:    t.Capacity.DeepCopy(),
			Allocatable: t.Allocatable.DeepCopy(),
			Conditions: []corev1.NodeCondition{
				{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Imagined"},
			},
		},
	}
}

// labels are those of the template with what follows from name and zone.
func (t *Template) labels(name, zone string) map[string]string {
	labels := make(map[string]string, len(t.Labels)+6)
	t.eachLabel(name, zone, func(key, value string) { labels[key] = value })
	return labels
}

// eachLabel calls f for the labels of the template and for those that follow from name
// and zone, each once: hostname, zone, region and EBSZoneLabel, which the EBS driver sets
// to the zone. Arch and os are amd64 and linux when the template names none.
func (t *Template) eachLabel(name, zone string, f func(key, value string)) {
	for key, value := range t.Labels {
		if key != corev1.LabelHostname && (zone == "" || !ofZone(key)) {
			f(key, value)
		}
	}
	for _, d := range [...]struct{ key, value string }{{corev1.LabelArchStable, "amd64"}, {corev1.LabelOSStable, "linux"}} {
		if _, named := t.Labels[d.key]; !named {
			f(d.key, d.value)
		}
	}
	f(corev1.LabelHostname, name)
	if zone != "" {
		f(corev1.LabelTopologyZone, zone)
		f(corev1.LabelTopologyRegion, regionOf(zone))
		f(EBSZoneLabel, zone)
	}
}

// ofZone reports whether a label follows from the zone.
func ofZone(key string) bool {
	return key == corev1.LabelTopologyZone || key == corev1.LabelTopologyRegion || key == EBSZoneLabel
}

// regionOf cuts the zone letter off an availability zone name: us-west-2a is in
// us-west-2. Local and wavelength zones (us-west-2-lax-1a) start with the name
// of their region, three parts long.
func regionOf(zone string) string {
	parts := 0
	for i := range len(zone) {
		if zone[i] != '-' {
			continue
		}
		if parts++; parts == 3 {
			zone = zone[:i]
			break
		}
	}
	return strings.TrimRight(zone, "abcdefghijklmnopqrstuvwxyz")
}
