package asg

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/binding"
)

// gpuGroup is a group of p4d.24xlarge, with so many nodes that report all of it.
func gpuGroup(n int) (cluster.Group, Known, []*corev1.Node) {
	facts := TypeFacts{Name: "p4d.24xlarge", VCPUs: 96, MemoryMiB: 1179648, Arch: "amd64", NvidiaGPUs: 8}
	capacity := amounts("cpu", "96", "memory", "1091174Mi", "pods", "110", "nvidia.com/gpu", "8")
	t := &cluster.Template{Labels: map[string]string{"team": "a"}, Capacity: capacity, Allocatable: capacity.DeepCopy()}
	g := cluster.Group{Name: "gpu", Template: t, InstanceType: facts.Name, LaunchTemplateVersion: "1"}
	var nodes []*corev1.Node
	for i := range n {
		id := fmt.Sprintf("i-%08x", i)
		g.Instances = append(g.Instances, cluster.Instance{ID: id, Type: facts.Name, LaunchTemplateVersion: "1"})
		node := reporting(id, "0")
		node.Status.Capacity = amounts("cpu", "96", "memory", "1150000Mi", "pods", "110", "nvidia.com/gpu", "8", "vendor.example/nic", "4")
		node.Status.Allocatable = node.Status.Capacity.DeepCopy()
		node.Labels = map[string]string{"vendor.example/cpu": "fast"}
		nodes = append(nodes, node)
	}
	return g, Known{kinds: []kind{{facts.Name, facts, t}}, memory: &memory{}}, nodes
}

func amounts(kv ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i+1 < len(kv); i += 2 {
		out[corev1.ResourceName(kv[i])] = resource.MustParse(kv[i+1])
	}
	return out
}

func limitsOf(node string, n int32) *storagev1.CSINode {
	c := &storagev1.CSINode{}
	c.Name = node
	c.Spec.Drivers = []storagev1.CSINodeDriver{{Name: "ebs", Allocatable: &storagev1.VolumeNodeResources{Count: &n}}}
	return c
}

// lies are what one node may say of itself.
var lies = map[string]func(*corev1.Node){
	"tiny":    func(n *corev1.Node) { n.Status.Allocatable = amounts("cpu", "10m", "memory", "1Mi", "pods", "1") },
	"nothing": func(n *corev1.Node) { n.Status.Allocatable, n.Status.Capacity = nil, nil },
	"zero": func(n *corev1.Node) {
		n.Status.Allocatable = amounts("cpu", "0", "memory", "0", "pods", "0", "nvidia.com/gpu", "0")
	},
	"huge": func(n *corev1.Node) {
		n.Status.Allocatable = amounts("cpu", "9000", "memory", "900Ti", "pods", "9999", "nvidia.com/gpu", "900")
	},
	"7 of 8 GPUs":     func(n *corev1.Node) { n.Status.Allocatable["nvidia.com/gpu"] = resource.MustParse("7") },
	"0 of 8 GPUs":     func(n *corev1.Node) { n.Status.Allocatable["nvidia.com/gpu"] = resource.MustParse("0") },
	"no GPU plugin":   func(n *corev1.Node) { delete(n.Status.Allocatable, "nvidia.com/gpu") },
	"what nobody has": func(n *corev1.Node) { n.Status.Allocatable["evil.example/unicorn"] = resource.MustParse("1000") },
	"own labels":      func(n *corev1.Node) { n.Labels = map[string]string{"evil.example/label": "yes", "team": "b"} },
}

// One node among others says what it likes: the template stays what the others say.
func TestOneNodeAloneTurnsNothing(t *testing.T) {
	for others := 2; others <= 4; others++ {
		g, known, honest := gpuGroup(others + 1)
		var csi []*storagev1.CSINode
		for _, n := range honest {
			csi = append(csi, limitsOf(n.Name, 25))
		}
		want := Look(honest[1:], csi, bound(honest)).Template(g, known)
		for name, lie := range lies {
			_, _, nodes := gpuGroup(others + 1)
			lie(nodes[0])
			for _, limit := range []int32{0, 1, 25, 1000} {
				csi[0] = limitsOf(nodes[0].Name, limit)
				got := Look(nodes, csi, bound(nodes)).Template(g, known)
				if !sameAmounts(got.Allocatable, want.Allocatable) || !maps.Equal(got.Labels, want.Labels) || !maps.Equal(got.AttachLimits, want.AttachLimits) {
					t.Errorf("%s, limit %d, %d others: %v %v %v: want %v %v %v", name, limit, others,
						got.Allocatable, got.Labels, got.AttachLimits, want.Allocatable, want.Labels, want.AttachLimits)
				}
			}
		}
	}
}

func sameAmounts(a, b corev1.ResourceList) bool {
	return maps.EqualFunc(a, b, func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
}

// A node that is the only one of its type, or one of two, stays within EC2's facts.
func TestOneNodeStaysWithinEC2sFacts(t *testing.T) {
	for n := 1; n <= 2; n++ {
		for name, lie := range lies {
			g, known, nodes := gpuGroup(n)
			lie(nodes[0])
			csi := []*storagev1.CSINode{limitsOf(nodes[0].Name, 0)}
			if n > 1 {
				csi = append(csi, limitsOf(nodes[1].Name, 25))
			}
			got := Look(nodes, csi, bound(nodes)).Template(g, known)
			a := cluster.AmountsOf(got.Allocatable)
			if a.MilliCPU < 48000 || a.MilliCPU > 96000 || a.Memory < 1091174*mebi/2 || a.Memory > 1179648*mebi || a.Pods < 55 || a.Of(nvidiaGPU) != 8 {
				t.Errorf("%s, one of %d: allocatable %v", name, n, got.Allocatable)
			}
			if n > 1 && a.Of("evil.example/unicorn") > 0 || got.Labels["team"] != "a" || n > 1 && got.Labels["evil.example/label"] != "" {
				t.Errorf("%s, one of %d: allocatable %v, labels %v", name, n, got.Allocatable, got.Labels)
			}
			if got.AttachLimits["ebs"] < leastAttach {
				t.Errorf("%s, one of %d: attach limits %v", name, n, got.AttachLimits)
			}
		}
	}
}

// More than half of the nodes are believed, also against EC2's facts: their image may
// use half of the threads, or share a GPU in time.
func TestMostNodesAreBelieved(t *testing.T) {
	g, known, nodes := gpuGroup(3)
	for _, n := range nodes[:2] {
		n.Status.Allocatable = amounts("cpu", "40", "memory", "400000Mi", "pods", "20", "nvidia.com/gpu", "32", "vendor.example/nic", "4")
	}
	got := Look(nodes, []*storagev1.CSINode{limitsOf(nodes[0].Name, 3), limitsOf(nodes[1].Name, 3)}, bound(nodes)).Template(g, known)
	want := amounts("cpu", "40", "memory", "400000Mi", "pods", "20", "nvidia.com/gpu", "32", "vendor.example/nic", "4")
	if !sameAmounts(got.Allocatable, want) || got.AttachLimits["ebs"] != 3 {
		t.Errorf("allocatable %v, limits %v: want %v and 3", got.Allocatable, got.AttachLimits, want)
	}
}

// What two nodes agreed on holds when one of them is left alone: else a lying one
// would have an instance bought in vain each time that the other has gone.
func TestWhatTwoNodesToldIsRemembered(t *testing.T) {
	g, known, nodes := gpuGroup(2)
	first := Look(nodes, nil, bound(nodes)).Template(g, known)
	lies["what nobody has"](nodes[0])
	lies["own labels"](nodes[0])
	alone := Look(nodes[:1], nil, bound(nodes)).Template(g, known)
	if !sameAmounts(alone.Allocatable, first.Allocatable) || !maps.Equal(alone.Labels, first.Labels) {
		t.Errorf("alone: %v %v, before %v %v", alone.Allocatable, alone.Labels, first.Allocatable, first.Labels)
	}
	g.LaunchTemplateVersion, g.Instances[0].LaunchTemplateVersion = "2", "2"
	next := Look(nodes[:1], nil, bound(nodes)).Template(g, known)
	if q := next.Allocatable["evil.example/unicorn"]; q.Value() != 1000 {
		t.Errorf("of a new version nothing is remembered: %v", next.Allocatable)
	}
}

// The order of nodes, instances and CSI nodes changes nothing.
func TestTemplateDoesNotDependOnTheOrder(t *testing.T) {
	names := slices.Sorted(maps.Keys(lies))
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		g, known, nodes := gpuGroup(1 + r.IntN(6))
		known.memory = nil
		var csi []*storagev1.CSINode
		for _, n := range nodes {
			if r.IntN(2) == 0 {
				lies[names[r.IntN(len(names))]](n)
			}
			if r.IntN(3) > 0 {
				csi = append(csi, limitsOf(n.Name, int32(r.IntN(30))))
			}
		}
		want := Look(nodes, csi, bound(nodes)).Template(g, known)
		for range 5 {
			r.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
			r.Shuffle(len(csi), func(i, j int) { csi[i], csi[j] = csi[j], csi[i] })
			r.Shuffle(len(g.Instances), func(i, j int) { g.Instances[i], g.Instances[j] = g.Instances[j], g.Instances[i] })
			got := Look(nodes, csi, bound(nodes)).Template(g, known)
			if !sameAmounts(got.Allocatable, want.Allocatable) || !sameAmounts(got.Capacity, want.Capacity) ||
				!reflect.DeepEqual(got.Labels, want.Labels) || !reflect.DeepEqual(got.AttachLimits, want.AttachLimits) {
				t.Fatalf("seed %d: %+v, in another order %+v", seed, got, want)
			}
		}
	}
}

// A Node that is not bound to the instance tells nothing about it.
func TestOnlyBoundNodesTell(t *testing.T) {
	g, known, nodes := gpuGroup(1)
	verdicts := bound(nodes)
	v := verdicts[nodes[0].Name]
	for _, standing := range []binding.Standing{binding.Impostor, binding.Unknown, binding.Leaving, ""} {
		v.Standing = standing
		verdicts[nodes[0].Name] = v
		if got := Look(nodes, nil, verdicts).Template(g, known); got != g.Template {
			t.Errorf("%s: %+v", standing, got)
		}
	}
}
