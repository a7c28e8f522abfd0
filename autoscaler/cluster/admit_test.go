package cluster_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/plugin/pkg/admission/limitranger"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

// amountsOf names a random part of the resources that a container may have.
func amountsOf(r *rand.Rand) corev1.ResourceList {
	if r.IntN(2) == 0 {
		return nil
	}
	out := corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{"cpu", "memory", "ephemeral-storage", "example.com/fuse"} {
		if r.IntN(2) == 0 {
			out[name] = *resource.NewQuantity(1+r.Int64N(9), resource.DecimalSI)
		}
	}
	return out
}

func containersOf(r *rand.Rand, n int) (out []corev1.Container) {
	always := corev1.ContainerRestartPolicyAlways
	for i := range n {
		c := corev1.Container{Name: fmt.Sprint("c", i), Resources: corev1.ResourceRequirements{Requests: amountsOf(r), Limits: amountsOf(r)}}
		if r.IntN(2) == 0 {
			c.RestartPolicy = &always
		}
		out = append(out, c)
	}
	return out
}

// admitted is what the API server makes of the pod: defaulting as it is documented, and
// then the code of its admission plugin.
func admitted(t *testing.T, pod *corev1.Pod, ranges []*corev1.LimitRange) cluster.Amounts {
	t.Helper()
	lists := [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers}
	var internal core.Pod
	for i, of := range []*[]core.Container{&internal.Spec.Containers, &internal.Spec.InitContainers} {
		for _, c := range lists[i] {
			*of = append(*of, core.Container{Resources: core.ResourceRequirements{
				Requests: converted[core.ResourceName](first(c.Resources.Requests, c.Resources.Limits)), Limits: converted[core.ResourceName](c.Resources.Limits),
			}})
		}
	}
	for _, r := range ranges {
		for i := range r.Spec.Limits {
			item := &r.Spec.Limits[i]
			item.Default = first(item.Default, item.Max)
			item.DefaultRequest = first(item.DefaultRequest, item.Default, item.Min)
		}
		if err := limitranger.PodMutateLimitFunc(r, &internal); err != nil {
			t.Fatal(err)
		}
	}
	for i, of := range [][]core.Container{internal.Spec.Containers, internal.Spec.InitContainers} {
		for j := range of {
			lists[i][j].Resources.Requests = converted[corev1.ResourceName](of[j].Resources.Requests)
		}
	}
	return cluster.AmountsOf(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}))
}

// first takes each resource of the first list that names it.
func first(lists ...corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, list := range slices.Backward(lists) {
		maps.Copy(out, list)
	}
	return out
}

func converted[To, From ~string](list map[From]resource.Quantity) map[To]resource.Quantity {
	out := map[To]resource.Quantity{}
	for name, q := range list {
		out[To(name)] = q
	}
	return out
}

// Random DaemonSets in namespaces with random LimitRanges are sized as the API server's own
// code sizes their pods (admission plugin LimitRanger).
func TestDaemonSetsAreSizedAsTheAPIServerDoes(t *testing.T) {
	sized := 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 5))
		ds := daemonSet("agent", func(s *corev1.PodSpec) {
			s.Containers, s.InitContainers = containersOf(r, 1+r.IntN(3)), containersOf(r, r.IntN(3))
		})
		var ranges []*corev1.LimitRange
		for i := range r.IntN(3) {
			ranges = append(ranges, limitRange(fmt.Sprint("range-", i), corev1.LimitRangeItem{
				Type: corev1.LimitTypeContainer, Default: amountsOf(r), DefaultRequest: amountsOf(r), Max: amountsOf(r), Min: amountsOf(r),
			}))
		}
		got := used(t, cluster.Input{
			Groups: []cluster.Group{ct.Group("workers", 0, 0, 3, "2", "4Gi", "us-west-2a")}, DaemonSets: []*appsv1.DaemonSet{ds}, LimitRanges: ranges,
		})
		pod := &corev1.Pod{Spec: *ds.Spec.Template.Spec.DeepCopy()}
		want := admitted(t, pod, ranges)
		want.Pods = 1
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("seed %d: %+v, want %+v", seed, got, want)
		}
		if want.MilliCPU > 0 {
			sized++
		}
	}
	if sized < 1000 {
		t.Errorf("%d of 2000 DaemonSets request anything", sized)
	}
}
