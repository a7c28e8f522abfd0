package scaleup_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaleup"
	"github.com/joinery/joinery/internal/kube"
)

// youth is what a random world promises of its nodes, and what pods ask for.
type youth struct {
	devices []corev1.ResourceName
	labels  []string
	taints  []string
}

var everything = youth{
	devices: []corev1.ResourceName{"nvidia.com/gpu", "vpc.amazonaws.com/pod-eni", "hugepages-2Mi", "example.com/fuse"},
	labels:  []string{"nvidia.com/gpu.product", "feature.node.kubernetes.io/cpu-cpuid.AVX512F", "example.com/storage-ready", cluster.EBSZoneLabel, corev1.LabelTopologyZone},
	taints: []string{"ebs.csi.aws.com/agent-not-ready", "node.cilium.io/agent-not-ready", "readiness.k8s.io/net", "example.com/not-yet",
		corev1.TaintNodeNotReady, "startup-taint.cluster-autoscaler.kubernetes.io/x"},
}

// world makes a group that promises a random part of everything, a few of its nodes that
// lack a random part of that, and pods for all the room that they will have.
func (y youth) world(r *rand.Rand, age time.Duration) cluster.Input {
	zone := "us-west-2a"
	g := ct.Group("workers", 0, 0, 100, "8", "16Gi", zone)
	promised := pick(r, y.devices)
	for _, name := range promised {
		g.Template.Allocatable[name] = resource.MustParse("4")
	}
	g.Template.Capacity = g.Template.Allocatable.DeepCopy()
	for _, key := range pick(r, y.labels) {
		g.Template.Labels[key] = zone
	}
	if r.IntN(2) == 0 {
		g.Template.AttachLimits = map[string]int32{ct.EBSDriver: 4}
	}
	in := cluster.Input{Taints: kube.TaintRules{Startup: []string{"example.com/not-"}}}
	for i := range 1 + r.IntN(3) {
		n := ct.Join(&g, fmt.Sprintf("i-%d", i), zone)
		g.Desired++
		n.CreationTimestamp = metav1.NewTime(now.Add(-age))
		wants := y.pods(r, &g, n.Name, promised)
		in.Pods = append(in.Pods, wants...)
		y.strip(r, n)
		in.Nodes = append(in.Nodes, n)
		if r.IntN(2) == 0 {
			in.CSINodes = append(in.CSINodes, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: n.Name}})
		}
	}
	in.Groups = []cluster.Group{g}
	return in
}

// pods are four pods that fill a node of the group in the first resource that it promises,
// or else in cpu, and ask for its labels.
func (y youth) pods(r *rand.Rand, g *cluster.Group, name string, promised []corev1.ResourceName) []*corev1.Pod {
	var pods []*corev1.Pod
	for i := range 4 {
		p := ct.Pending(fmt.Sprintf("%s-%d", name, i), "2", "1Gi", ct.OwnedBy("ReplicaSet", "rs"))
		for _, device := range promised {
			p.Spec.Containers[0].Resources.Requests[device] = resource.MustParse("1")
		}
		p.Spec.NodeSelector = maps.Clone(g.Template.Labels)
		if r.IntN(2) == 0 {
			p.Spec.NodeSelector[cluster.EBSZoneLabel] = "us-west-2a"
		}
		pods = append(pods, p)
	}
	return pods
}

// strip takes from a node what has not come to it yet.
func (y youth) strip(r *rand.Rand, n *corev1.Node) {
	for _, name := range pick(r, y.devices) {
		delete(n.Status.Allocatable, name)
		if r.IntN(2) == 0 {
			delete(n.Status.Capacity, name)
		} else if _, promised := n.Status.Capacity[name]; promised {
			n.Status.Capacity[name], n.Status.Allocatable[name] = resource.Quantity{}, resource.Quantity{}
		}
	}
	for _, key := range pick(r, y.labels) {
		delete(n.Labels, key)
	}
	for _, key := range pick(r, y.taints) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	}
}

func pick[T any](r *rand.Rand, all []T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(T) bool { return r.IntN(2) == 0 })
}

// While nodes are young, nothing is bought for pods which their template would hold.
// Once they should have settled, what they have is what counts.
func TestNothingIsBoughtForPodsThatYoungNodesWillHold(t *testing.T) {
	bought := 0
	for seed := range uint64(500) {
		age := time.Duration(seed) * cluster.StartupTimeout / 500
		d := plan(t, everything.world(rand.New(rand.NewPCG(seed, 11)), age), scaleup.Options{})
		if len(d.Increases) > 0 || len(d.Unhelped) > 0 {
			t.Fatalf("seed %d, nodes of %s: %s: %+v", seed, age, brief(d), d.Unhelped)
		}
		d = plan(t, everything.world(rand.New(rand.NewPCG(seed, 11)), cluster.StartupTimeout), scaleup.Options{})
		bought += len(d.Increases)
	}
	if bought < 400 {
		t.Errorf("of 500 worlds whose nodes lack something for good %d grow", bought)
	}
}

// A pod whose EBS volume is in a zone comes back with a group that is at zero: that its
// nodes will have the driver's zone label follows from their zone.
func TestVolumeOfAGroupAtZero(t *testing.T) {
	for zone, want := range map[string]string{"us-west-2a": "workers 0->1(1) waiting 0 unhelped 0", "us-west-2b": "waiting 0 unhelped 1"} {
		class, binds := "gp3", storagev1.VolumeBindingWaitForFirstConsumer
		in := cluster.Input{
			Groups: []cluster.Group{ct.Group("workers", 0, 0, 3, "2", "4Gi", "us-west-2a")},
			Pods: []*corev1.Pod{ct.Pending("db-0", "1", "1Gi", ct.OwnedBy("StatefulSet", "db"), func(p *corev1.Pod) {
				p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
			})},
			StorageClasses: []*storagev1.StorageClass{{ObjectMeta: metav1.ObjectMeta{Name: class}, Provisioner: ct.EBSDriver, VolumeBindingMode: &binds}},
			PersistentVolumeClaims: []*corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data", Annotations: map[string]string{"pv.kubernetes.io/bind-completed": "yes"}},
				Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "pv", StorageClassName: &class},
				Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
			}},
			PersistentVolumes: []*corev1.PersistentVolume{{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: ct.EBSDriver, VolumeHandle: "vol-1"}},
				NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{Key: cluster.EBSZoneLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}}},
				}}}},
			}}},
		}
		if got := brief(plan(t, in, scaleup.Options{})); got != want {
			t.Errorf("volume in %s: %s, want %s: %+v", zone, got, want, plan(t, in, scaleup.Options{}).Unhelped)
		}
	}
}
