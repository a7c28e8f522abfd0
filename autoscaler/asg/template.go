package asg

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/fleet/launch"
)

const (
	mebi = int64(1) << 20
	gibi = int64(1) << 30

	// memoryOverhead is the share of an instance type's memory that firmware
	// and kernel take before the kubelet sees it. EC2 names only the nominal
	// size; Karpenter's AWS provider takes 7.5 % off by default for the same
	// reason. Promising too little delays nothing but the first node of a
	// launch template version: after it, what it reported is used (Observed).
	memoryOverhead = 0.075
	// defaultMaxPods is the kubelet's maxPods when nothing is configured.
	defaultMaxPods = 110
	// defaultEviction is the kubelet's memory.available in evictionHard.
	defaultEviction = "100Mi"
	// defaultRootGiB is taken when the launch template names no root volume:
	// the smallest that the usual Linux images come with.
	defaultRootGiB = 8
	// storageShare is what remains of a root volume after the file system and
	// the kubelet's nodefs.available threshold of 10 %.
	storageShare = 0.85
)

// TypeFacts are what EC2 says about an instance type.
type TypeFacts struct {
	Name      string
	VCPUs     int64
	MemoryMiB int64
	// Arch as Kubernetes calls it: amd64 or arm64.
	Arch string
	// NvidiaGPUs is how many the type has.
	NvidiaGPUs int64
}

// Facts are what is known about the instances that a group launches.
type Facts struct {
	// Types that the group may launch; one, or more for a mixed group. A node
	// is imagined with the least of each resource.
	Types []TypeFacts
	// RootGiB is the size of the root volume; 0 when the launch template
	// leaves it to the image.
	RootGiB int64
}

// Template says what a new node looks like: the instance type, less what
// kernel and kubelet keep, with the NodeConfig's labels and taints, and the
// group's node-template tags on top. A resource named by a tag replaces the
// instance type's as it is. Errors name the tag, or the types that cannot be
// one group.
func Template(f Facts, nc *v1alpha1.NodeConfig, tags map[string]string) (*cluster.Template, error) {
	if len(f.Types) == 0 {
		return nil, errors.New("no instance type is known")
	}
	over, err := launch.ParseTags(tags)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{
		corev1.LabelOSStable:   "linux",
		corev1.LabelArchStable: f.Types[0].Arch,
	}
	if len(f.Types) == 1 {
		labels[corev1.LabelInstanceTypeStable] = f.Types[0].Name
	}
	for _, t := range f.Types[1:] {
		if t.Arch != f.Types[0].Arch {
			return nil, fmt.Errorf("instance types %s (%s) and %s (%s) are of different architectures", f.Types[0].Name, f.Types[0].Arch, t.Name, t.Arch)
		}
	}
	maps.Copy(labels, nc.Spec.Labels)
	maps.Copy(labels, over.Labels)
	capacity := capacityOf(f, nc.Spec.Kubelet)
	maps.Copy(capacity, over.Resources)
	return &cluster.Template{
		Labels:      labels,
		Taints:      mergeTaints(nc.Spec.Taints, over.Taints),
		Capacity:    capacity,
		Allocatable: allocatableOf(capacity, nc.Spec.Kubelet),
	}, nil
}

// capacityOf is the component-wise least capacity of the types.
func capacityOf(f Facts, k v1alpha1.KubeletSettings) corev1.ResourceList {
	least := f.Types[0]
	for _, t := range f.Types[1:] {
		least.VCPUs = min(least.VCPUs, t.VCPUs)
		least.MemoryMiB = min(least.MemoryMiB, t.MemoryMiB)
		least.NvidiaGPUs = min(least.NvidiaGPUs, t.NvidiaGPUs)
	}
	pods := int64(defaultMaxPods)
	if n, ok := k.MaxPods(); ok {
		pods = int64(n)
	}
	root := f.RootGiB
	if root == 0 {
		root = defaultRootGiB
	}
	memory := int64(float64(least.MemoryMiB) * (1 - memoryOverhead))
	list := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(least.VCPUs, resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(memory*mebi, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(pods, resource.DecimalSI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(float64(root*gibi)*storageShare), resource.BinarySI),
	}
	if least.NvidiaGPUs > 0 {
		list[nvidiaGPU] = *resource.NewQuantity(least.NvidiaGPUs, resource.DecimalSI)
	}
	return list
}

// allocatableOf takes off what the kubelet does ("Node Allocatable"): reserved
// resources and the memory threshold of hard eviction.
func allocatableOf(capacity corev1.ResourceList, k v1alpha1.KubeletSettings) corev1.ResourceList {
	list := capacity.DeepCopy()
	take := func(name corev1.ResourceName, q resource.Quantity) {
		have, ok := list[name]
		if !ok {
			return
		}
		have.Sub(q)
		if have.Sign() < 0 {
			have = resource.Quantity{Format: have.Format}
		}
		list[name] = have
	}
	for name, q := range k.Reserved() {
		take(name, q)
	}
	take(corev1.ResourceMemory, evictionMemory(capacity[corev1.ResourceMemory], k))
	return list
}

// evictionMemory is the memory.available threshold: a quantity, or a
// percentage of the capacity. One that cannot be read counts as the default.
func evictionMemory(capacity resource.Quantity, k v1alpha1.KubeletSettings) resource.Quantity {
	text, ok := k.EvictionHard("memory.available")
	if !ok {
		text = defaultEviction
	}
	if number, ok := strings.CutSuffix(text, "%"); ok {
		share, err := strconv.ParseFloat(number, 64)
		if err == nil && share >= 0 && share <= 100 && !math.IsNaN(share) {
			return *resource.NewQuantity(int64(float64(capacity.Value())*share/100), resource.BinarySI)
		}
		text = defaultEviction
	}
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Sign() < 0 {
		return resource.MustParse(defaultEviction)
	}
	return q
}

// mergeTaints puts over's taints in place of those of the same key and effect.
func mergeTaints(base, over []corev1.Taint) []corev1.Taint {
	all := slices.Clone(base)
	for _, t := range over {
		all = slices.DeleteFunc(all, func(b corev1.Taint) bool { return b.MatchTaint(&t) })
	}
	return append(all, over...)
}
