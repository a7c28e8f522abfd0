package asg

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/autoscaler/cluster"
)

func list(memory string) corev1.ResourceList {
	return corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse(memory)}
}

func reporting(id, memory string) *corev1.Node {
	n := &corev1.Node{}
	n.Name, n.Spec.ProviderID = "node-"+id, "aws:///us-west-2a/"+id
	n.Labels = map[string]string{"image": "seen"}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	n.Status.Capacity, n.Status.Allocatable = list(memory), list(memory)
	return n
}

// Each type is observed by itself: one without a node counts as EC2's facts say,
// and none is taken for another.
func TestMixedGroupIsObservedTypeByType(t *testing.T) {
	kinds := []kind{
		{"m5.large", &cluster.Template{Labels: map[string]string{"node.kubernetes.io/instance-type": "m5.large", "os": "linux"}, Capacity: list("7Gi"), Allocatable: list("7Gi")}},
		{"m5.xlarge", &cluster.Template{Labels: map[string]string{"node.kubernetes.io/instance-type": "m5.xlarge", "os": "linux"}, Capacity: list("15Gi"), Allocatable: list("15Gi")}},
	}
	g := cluster.Group{Template: combine(templatesOf(kinds)), Instances: []cluster.Instance{{ID: "i-small", Type: "m5.large"}, {ID: "i-big", Type: "m5.xlarge"}}}
	for _, tt := range []struct {
		name  string
		nodes []*corev1.Node
		want  string
		label string // value of the label that the nodes carry
	}{
		{"none", nil, "7Gi", ""},
		{"the small one", []*corev1.Node{reporting("i-small", "7500Mi")}, "7500Mi", ""},
		{"the big one", []*corev1.Node{reporting("i-big", "15500Mi")}, "7Gi", ""},
		{"both", []*corev1.Node{reporting("i-big", "7300Mi"), reporting("i-small", "7500Mi")}, "7300Mi", "seen"},
	} {
		got := Look(tt.nodes, nil).Template(g, Known{kinds: kinds})
		if q := got.Allocatable["memory"]; q.Cmp(resource.MustParse(tt.want)) != 0 {
			t.Errorf("%s: memory is %s, want %s", tt.name, q.String(), tt.want)
		}
		if _, typed := got.Labels["node.kubernetes.io/instance-type"]; typed || got.Labels["os"] != "linux" || got.Labels["image"] != tt.label {
			t.Errorf("%s: labels are %v", tt.name, got.Labels)
		}
	}
}

func TestNodesOfAnOlderImageTellNothing(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	g := cluster.Group{Template: &cluster.Template{Capacity: list("1Gi"), Allocatable: list("1Gi")}, InstanceType: "t", Instances: []cluster.Instance{
		{ID: "i-old", Type: "t"}, {ID: "i-new", Type: "t"}, {ID: "i-unknown", Type: "t"},
	}}
	known := Known{floating: true, images: map[string]image{"i-old": {"ami-1", at}, "i-new": {"ami-2", at.Add(time.Hour)}}}
	for _, tt := range []struct {
		name  string
		known Known
		want  string
	}{{"the version fixes the image", Known{}, "2Gi"}, {"the newest image", known, "4Gi"}, {"no image is known", Known{floating: true}, "1Gi"}} {
		sight := Look([]*corev1.Node{reporting("i-old", "3Gi"), reporting("i-new", "4Gi"), reporting("i-unknown", "2Gi")}, nil)
		if q := sight.Template(g, tt.known).Allocatable["memory"]; q.Cmp(resource.MustParse(tt.want)) != 0 {
			t.Errorf("%s: memory is %s, want %s", tt.name, q.String(), tt.want)
		}
	}
}
