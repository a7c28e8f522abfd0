package loop_test

import (
	"encoding/base64"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// What a group's nodes told holds when it comes back from zero: here a label that a
// controller sets on them.
func TestLearnedIsKeptOverZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := gpuWorld(t, 1, "scaleDown: {idleDelay: 30s}", "")
		f.joinWith("gpu", func(n *corev1.Node) {
			n.Labels["example.com/fabric"] = "fast"
			n.Status.Allocatable["nvidia.com/gpu"], n.Status.Capacity["nvidia.com/gpu"] = resource.MustParse("1"), resource.MustParse("1")
		})
		defer f.run()()
		bubble.Sleep(time.Minute)
		for range 30 {
			f.idleNodes()
			bubble.Sleep(time.Minute)
		}
		if d := f.desired("gpu"); d != 0 {
			t.Fatalf("desired is %d, want 0: %+v", d, f.decisions()[0])
		}
		f.pendFor("train", "nvidia.com/gpu", "1")
		f.selecting("train-0", "example.com/fabric", "fast")
		bubble.Sleep(time.Minute)
		if d := f.desired("gpu"); d != 1 {
			t.Errorf("desired is %d, want 1: %+v", d, f.decisions()[0])
		}
	})
}

// selecting gives a pending pod a node selector.
func (f *fixture) selecting(pod, key, value string) {
	f.t.Helper()
	p, err := f.kube.CoreV1().Pods("default").Get(f.t.Context(), pod, metav1.GetOptions{})
	f.ok(err)
	p.Spec.NodeSelector = map[string]string{key: value}
	f.ok(f.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), p, "default"))
}
