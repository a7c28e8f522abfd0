package scaleup

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Balance says which groups are near-identical: such groups, usually one for each zone,
// grow in turn. The zero value has the tolerances of Cluster Autoscaler.
type Balance struct {
	// IgnoreLabels are further labels by which near-identical groups may differ, beside
	// ignoredLabels.
	IgnoreLabels []string
	// Memory, Allocatable and Free are the shares by which the memory of new nodes, each
	// of their allocatable resources, and what DaemonSets leave of these may differ. Nil
	// is the default.
	Memory, Allocatable, Free *float64
}

// The tolerances of Cluster Autoscaler (processors/nodegroupset): --memory-difference-ratio,
// --max-allocatable-difference-ratio and --max-free-difference-ratio.
const (
	memoryTolerance      = 0.015
	allocatableTolerance = 0.05
	freeTolerance        = 0.05
)

// ignoredLabels say where a node is or by what it was launched. Cluster Autoscaler ignores
// the same ones on AWS.
var ignoredLabels = map[string]bool{
	corev1.LabelHostname:     true,
	corev1.LabelTopologyZone: true, corev1.LabelTopologyRegion: true,
	corev1.LabelFailureDomainBetaZone: true, corev1.LabelFailureDomainBetaRegion: true,
	cluster.EBSZoneLabel:                  true,
	"topology.k8s.aws/zone-id":            true,
	"k8s.amazonaws.com/eniConfig":         true,
	"alpha.eksctl.io/instance-id":         true,
	"alpha.eksctl.io/nodegroup-name":      true,
	"eks.amazonaws.com/nodegroup":         true,
	"lifecycle":                           true,
	"beta.kubernetes.io/fluentd-ds-ready": true,
	"kops.k8s.io/instancegroup":           true,
}

// likeness is what near-identical groups have exactly alike and is cheap to compare.
type likeness struct {
	priority int
	price    float64
	milliCPU int64
}

// setFamilies gives near-identical groups the same family: the place of the first of them
// by name, which all of them are compared with.
func (p *planner) setFamilies() {
	ignored := ignoredLabels
	if more := p.o.Balance.IgnoreLabels; len(more) > 0 {
		ignored = make(map[string]bool, len(ignoredLabels)+len(more))
		for key := range ignoredLabels {
			ignored[key] = true
		}
		for _, key := range more {
			ignored[key] = true
		}
	}
	first := map[likeness][]int{}
	for at, g := range p.groups {
		g.family = at
		if g.Template == nil || len(g.options) == 0 {
			continue
		}
		cpu := g.Template.Capacity[corev1.ResourceCPU]
		key := likeness{g.Priority, g.Price, cpu.MilliValue()}
		i := slices.IndexFunc(first[key], func(other int) bool { return p.alike(p.groups[other], g, ignored) })
		if i < 0 {
			first[key] = append(first[key], at)
			continue
		}
		g.family = first[key][i]
	}
}

// alike reports whether two groups are near-identical:
//   - their nodes have the same labels, but for the ignored ones, and the same taints;
//   - the same resources, memory within its tolerance, all others exactly;
//   - and of each as much allocatable and free, within the tolerances.
func (p *planner) alike(a, b *group, ignored map[string]bool) bool {
	x, y, t := a.Template, b.Template, &p.o.Balance
	if !sameLabels(x.Labels, y.Labels, ignored) || !sameLabels(y.Labels, x.Labels, ignored) || !slices.EqualFunc(x.Taints, y.Taints, sameTaint) {
		return false
	}
	exact := func(name corev1.ResourceName) float64 {
		if name == corev1.ResourceMemory {
			return or(t.Memory, memoryTolerance)
		}
		return 0
	}
	about := func(corev1.ResourceName) float64 { return or(t.Allocatable, allocatableTolerance) }
	if !within(x.Capacity, y.Capacity, exact) || !within(x.Allocatable, y.Allocatable, about) {
		return false
	}
	f, g := p.l.NewFree(a.Name, a.options[0].zone), p.l.NewFree(b.Name, b.options[0].zone)
	for d := range f {
		if !closeTo(float64(f[d]), float64(g[d]), or(t.Free, freeTolerance)) {
			return false
		}
	}
	return true
}

func or(share *float64, otherwise float64) float64 {
	if share == nil {
		return otherwise
	}
	return *share
}

// sameLabels reports whether b has the labels of a, but for the ignored ones.
func sameLabels(a, b map[string]string, ignored map[string]bool) bool {
	for key, value := range a {
		if other, ok := b[key]; !ignored[key] && (!ok || other != value) {
			return false
		}
	}
	return true
}

func sameTaint(a, b corev1.Taint) bool {
	return a.Key == b.Key && a.Value == b.Value && a.Effect == b.Effect
}

// within reports whether two lists name the same resources, each within its tolerance.
func within(a, b corev1.ResourceList, tolerance func(corev1.ResourceName) float64) bool {
	if len(a) != len(b) {
		return false
	}
	for name, q := range a {
		other, ok := b[name]
		if !ok || !closeTo(q.AsApproximateFloat64(), other.AsApproximateFloat64(), tolerance(name)) {
			return false
		}
	}
	return true
}

// closeTo reports whether two amounts differ by no more than the share of the larger.
func closeTo(a, b, share float64) bool { return math.Abs(a-b) <= share*max(a, b) }
