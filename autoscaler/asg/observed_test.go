package asg_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/cluster"
)

func liveNode(id, memory string, ready corev1.ConditionStatus) *corev1.Node {
	n := &corev1.Node{}
	n.Name = "node-" + id
	n.Spec.ProviderID = "aws:///us-west-2a/" + id
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	n.Status.Capacity = corev1.ResourceList{"memory": resource.MustParse(memory)}
	n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	return n
}

func TestObservedBelievesReadyNodesOfTheSameVersion(t *testing.T) {
	template := &cluster.Template{
		Capacity:    corev1.ResourceList{"memory": resource.MustParse("3788Mi"), "nvidia.com/gpu": resource.MustParse("1")},
		Allocatable: corev1.ResourceList{"memory": resource.MustParse("3688Mi"), "nvidia.com/gpu": resource.MustParse("1")},
	}
	group := cluster.Group{Template: template, LaunchTemplateVersion: "2", InstanceType: "t3.medium", Instances: []cluster.Instance{
		{ID: "i-new1", Type: "t3.medium", LaunchTemplateVersion: "2"},
		{ID: "i-new2", Type: "t3.medium", LaunchTemplateVersion: "2"},
		{ID: "i-old", Type: "t3.medium", LaunchTemplateVersion: "1"},
		{ID: "i-big", Type: "t3.large", LaunchTemplateVersion: "2"},
	}}
	for _, tt := range []struct {
		name  string
		nodes []*corev1.Node
		want  string
	}{
		{"no node", nil, "3688Mi"},
		{"the least of two", []*corev1.Node{liveNode("i-new1", "3900Mi", "True"), liveNode("i-new2", "3890Mi", "True")}, "3890Mi"},
		{"not ready", []*corev1.Node{liveNode("i-new1", "3900Mi", "False")}, "3688Mi"},
		{"another version", []*corev1.Node{liveNode("i-old", "3900Mi", "True")}, "3688Mi"},
		{"another type", []*corev1.Node{liveNode("i-big", "7900Mi", "True")}, "3688Mi"},
		{"no member", []*corev1.Node{liveNode("i-else", "7900Mi", "True")}, "3688Mi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := asg.Observed(group, tt.nodes)
			memory, gpu := got.Allocatable["memory"], got.Allocatable["nvidia.com/gpu"]
			if memory.Cmp(resource.MustParse(tt.want)) != 0 || gpu.Value() != 1 {
				t.Errorf("allocatable is %v, want memory %s and one GPU", got.Allocatable, tt.want)
			}
		})
	}
	if q := template.Allocatable["memory"]; q.Cmp(resource.MustParse("3688Mi")) != 0 {
		t.Errorf("the template was changed in place to %s", q.String())
	}
}

func TestInstanceOf(t *testing.T) {
	for id, want := range map[string]string{
		"aws:///us-west-2a/i-0123": "i-0123",
		"aws:///i-0123":            "i-0123",
		"":                         "",
		"gce://p/z/i-0123":         "",
		"aws:///us-west-2a/node":   "",
	} {
		n := &corev1.Node{Spec: corev1.NodeSpec{ProviderID: id}}
		if got := asg.InstanceOf(n); got != want {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}
