package cluster

import (
	"maps"
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
}

// Node imagines a ready node of this template. The labels that follow from name
// and zone are added (hostname, zone, region), and EBSZoneLabel if the template
// names it: only a cluster with the EBS driver has that. Start-up taints are left
// out, since they go before pods come. Arch and os default to amd64 and linux
// when the template names none.
func (t *Template) Node(name, zone string) *corev1.Node {
	labels := map[string]string{
		corev1.LabelArchStable: "amd64",
		corev1.LabelOSStable:   "linux",
	}
	maps.Copy(labels, t.Labels)
	labels[corev1.LabelHostname] = name
	if zone != "" {
		labels[corev1.LabelTopologyZone] = zone
		labels[corev1.LabelTopologyRegion] = regionOf(zone)
		if _, driver := t.Labels[EBSZoneLabel]; driver {
			labels[EBSZoneLabel] = zone
		}
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       corev1.NodeSpec{Taints: slices.DeleteFunc(slices.Clone(t.Taints), kube.StartupTaint)},
		Status: corev1.NodeStatus{
			Capacity:    t.Capacity.DeepCopy(),
			Allocatable: t.Allocatable.DeepCopy(),
			Conditions: []corev1.NodeCondition{
				{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Imagined"},
			},
		},
	}
}

// regionOf cuts the zone letter off an availability zone name: us-west-2a is in
// us-west-2. Local and wavelength zones (us-west-2-lax-1a) start with the name
// of their region, three parts long.
func regionOf(zone string) string {
	parts := strings.Split(zone, "-")
	if len(parts) > 3 {
		parts = parts[:3]
	}
	return strings.TrimRight(strings.Join(parts, "-"), "abcdefghijklmnopqrstuvwxyz")
}
