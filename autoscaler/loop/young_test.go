package loop_test

import (
	"encoding/base64"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// gpuWorld has a group of so many GPU instances.
func gpuWorld(t *testing.T, desired int, settings, nodeConfig string) *fixture {
	t.Helper()
	f := newFixtureWith(t, &awssim.World{}, settings)
	f.aws.PutLaunchTemplate("gpu", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "g4dn.xlarge",
		UserData: base64.StdEncoding.EncodeToString([]byte("apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec: {cluster: " + simcluster.Name + nodeConfig + "}\n"))})
	f.ok(f.aws.PutGroup(awssim.GroupSpec{Name: "gpu", Max: 10, Desired: desired, LaunchTemplate: "gpu", Tags: simcluster.Tags()}))
	return f
}

// joinWith makes a Node of every instance of the group that has none.
func (f *fixture) joinWith(group string, edit func(*corev1.Node)) {
	f.t.Helper()
	for _, in := range f.running(group) {
		if _, err := f.kube.CoreV1().Nodes().Get(f.t.Context(), in.PrivateDNSName, metav1.GetOptions{}); err != nil {
			n := simcluster.NodeOf(in)
			n.CreationTimestamp = metav1.Now()
			edit(n)
			f.register(n)
		}
	}
}

// Nodes whose device plugin is late, and which are tainted until then, are waited for:
// one pod is one instance. A taint of a NodeConfig does not keep the group from growing.
func TestLateDevicePluginBuysOneInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := gpuWorld(t, 0, `startupTaints: ["example.com/"]`, `, taints: [{key: example.com/driver-missing, effect: NoSchedule}]`)
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pendFor("train", "nvidia.com/gpu", "1")
		for range 14 {
			bubble.Sleep(time.Minute)
			if d := f.desired("gpu"); d != 1 {
				t.Fatalf("desired is %d, want 1: %+v", d, f.decisions()[0])
			}
			f.joinWith("gpu", func(n *corev1.Node) {
				n.Spec.Taints = []corev1.Taint{{Key: "example.com/driver-missing", Effect: corev1.TaintEffectNoSchedule}}
			})
		}
	})
}

// A device plugin that never comes is waited for until the deadline. Once two nodes have
// settled without it, no group is said to have such a device, and nothing more is bought.
func TestDevicePluginThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := gpuWorld(t, 0, "scaleDown: {disabled: true}", "")
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pendFor("train", "nvidia.com/gpu", "1")
		for range 120 {
			bubble.Sleep(time.Minute)
			f.joinWith("gpu", func(*corev1.Node) {})
		}
		if d := f.desired("gpu"); d > 2 {
			t.Errorf("desired is %d, want 2 at most: %+v", d, f.decisions()[0])
		}
	})
}

// What a group's nodes told holds when it comes back from zero, also under another leader:
// here a label that a controller sets on them.
func TestLearnedIsKeptOverZero(t *testing.T) {
	for _, leaders := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			const settings = "scaleDown: {idleDelay: 30s}"
			f := gpuWorld(t, 1, settings, "")
			f.joinWith("gpu", func(n *corev1.Node) {
				n.Labels["example.com/fabric"] = "fast"
				n.Status.Allocatable["nvidia.com/gpu"], n.Status.Capacity["nvidia.com/gpu"] = resource.MustParse("1"), resource.MustParse("1")
			})
			stop := f.run()
			bubble.Sleep(time.Minute)
			for range 30 {
				f.idleNodes()
				bubble.Sleep(time.Minute)
			}
			if d := f.desired("gpu"); d != 0 {
				t.Fatalf("desired is %d, want 0: %+v", d, f.decisions()[0])
			}
			if leaders == 2 {
				stop()
				f.metrics = prometheus.NewRegistry()
				f.lead(settings)
				stop = f.run()
			}
			defer stop()
			bubble.Sleep(time.Minute)
			f.pendFor("train", "nvidia.com/gpu", "1")
			f.selecting("train-0", "example.com/fabric", "fast")
			bubble.Sleep(time.Minute)
			if d := f.desired("gpu"); d != 1 {
				t.Errorf("%d leaders: desired is %d, want 1: %+v", leaders, d, f.decisions()[0])
			}
			written, learned := 0, ""
			for _, a := range f.kube.Actions() {
				write, is := a.(interface{ GetObject() runtime.Object })
				if !is || a.GetResource().Resource != "configmaps" {
					continue
				}
				if now := write.GetObject().(*corev1.ConfigMap).Data["learned"]; now != learned {
					learned = now
					written++
				}
			}
			if written == 0 || written > 3 {
				t.Errorf("%d leaders: %d writes of what was learned", leaders, written)
			}
		})
	}
}

// selecting gives a pending pod a node selector.
func (f *fixture) selecting(pod, key, value string) {
	f.t.Helper()
	p, err := f.kube.CoreV1().Pods("default").Get(f.t.Context(), pod, metav1.GetOptions{})
	f.ok(err)
	p.Spec.NodeSelector = map[string]string{key: value}
	f.ok(f.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), p, "default"))
}

// runStatic shows a static pod on each Node that has none.
func (f *fixture) runStatic(cpu string) {
	f.t.Helper()
	for _, n := range f.nodes() {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "proxy-" + n.Name, Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"}}}
		p.Spec = corev1.PodSpec{NodeName: n.Name, Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu)}}}}}
		p.Status.Phase = corev1.PodRunning
		if err := f.kube.Tracker().Add(p); err != nil && !apierrors.IsAlreadyExists(err) {
			f.t.Fatal(err)
		}
	}
}

// A pod that fits beside nothing but the static pods of the group's nodes is bought one
// node for, which tells about these.
func TestStaticPodsAreLearnedFromTheFirstNode(t *testing.T) {
	for _, desired := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixtureWith(t, &awssim.World{}, "scaleDown: {disabled: true}")
			f.group("workers", 0, desired)
			f.join()
			f.runStatic("300m")
			defer f.run()()
			bubble.Sleep(time.Minute)
			f.pend(1, "app", "1800m", "64Mi")
			for range 30 {
				bubble.Sleep(time.Minute)
				f.join()
				f.runStatic("300m")
			}
			if d := f.desired("workers"); d != 1 {
				t.Errorf("from %d: desired is %d, want 1: %+v", desired, d, f.decisions()[0])
			}
		})
	}
}

// A DaemonSet that names limits alone, and one that a LimitRange sizes, leave no room for
// a pod on any node: none is bought.
func TestDaemonSetThatIsSizedByTheAPIServer(t *testing.T) {
	for name, requirements := range map[string]corev1.ResourceRequirements{
		"limits":     {Limits: corev1.ResourceList{"cpu": resource.MustParse("1200m")}},
		"LimitRange": {},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, &awssim.World{})
			f.group("workers", 0, 0)
			ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "agent", UID: "agent"}}
			ds.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Resources: requirements}}
			f.ok(f.kube.Tracker().Add(ds))
			f.ok(f.kube.Tracker().Add(&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "default"},
				Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, DefaultRequest: corev1.ResourceList{"cpu": resource.MustParse("1100m")}}}}}))
			defer f.run()()
			bubble.Sleep(time.Minute)
			f.pend(1, "app", "1", "64Mi")
			bubble.Sleep(time.Minute)
			if d := f.desired("workers"); d != 0 {
				t.Errorf("%s: desired is %d, want 0: %+v", name, d, f.decisions()[0])
			}
		})
	}
}
