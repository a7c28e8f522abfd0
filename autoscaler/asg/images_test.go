package asg

import (
	"path"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
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

// bound binds each node to the instance at the end of its provider id.
func bound(nodes []*corev1.Node) map[string]binding.Verdict {
	out := map[string]binding.Verdict{}
	for _, n := range nodes {
		id := path.Base(n.Spec.ProviderID)
		out[n.Name] = binding.Verdict{Standing: binding.Bound, InstanceID: id, Instance: &fleet.Instance{ID: id}}
	}
	return out
}

// Each type is observed by itself: one without a node counts as EC2's facts say,
// and none is taken for another.
func TestMixedGroupIsObservedTypeByType(t *testing.T) {
	kinds := []kind{
		{name: "m5.large", template: &cluster.Template{Labels: map[string]string{"node.kubernetes.io/instance-type": "m5.large", "os": "linux"}, Capacity: list("7Gi"), Allocatable: list("7Gi")}},
		{name: "m5.xlarge", template: &cluster.Template{Labels: map[string]string{"node.kubernetes.io/instance-type": "m5.xlarge", "os": "linux"}, Capacity: list("15Gi"), Allocatable: list("15Gi")}},
	}
	g := cluster.Group{Template: combine(templatesOf(kinds)), Instances: []cluster.Instance{{ID: "i-00005a11", Type: "m5.large"}, {ID: "i-00000b16", Type: "m5.xlarge"}}}
	for _, tt := range []struct {
		name  string
		nodes []*corev1.Node
		want  string
		label string // value of the label that the nodes carry
	}{
		{"none", nil, "7Gi", ""},
		{"the small one", []*corev1.Node{reporting("i-00005a11", "7500Mi")}, "7500Mi", ""},
		{"the big one", []*corev1.Node{reporting("i-00000b16", "15500Mi")}, "7Gi", ""},
		{"both", []*corev1.Node{reporting("i-00000b16", "7800Mi"), reporting("i-00005a11", "7900Mi")}, "7800Mi", "seen"},
	} {
		got := Look(tt.nodes, nil, bound(tt.nodes)).Template(g, Known{kinds: kinds})
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
		{ID: "i-0000001d", Type: "t"}, {ID: "i-00000010", Type: "t"}, {ID: "i-0000404e", Type: "t"},
	}}
	known := Known{floating: true, images: map[string]image{"i-0000001d": {"ami-1", at}, "i-00000010": {"ami-2", at.Add(time.Hour)}}}
	for _, tt := range []struct {
		name  string
		known Known
		want  string
	}{{"the version fixes the image", Known{}, "3Gi"}, {"the newest image", known, "4Gi"}, {"no image is known", Known{floating: true}, "1Gi"}} {
		nodes := []*corev1.Node{reporting("i-0000001d", "3Gi"), reporting("i-00000010", "4Gi"), reporting("i-0000404e", "2Gi")}
		sight := Look(nodes, nil, bound(nodes))
		if q := sight.Template(g, tt.known).Allocatable["memory"]; q.Cmp(resource.MustParse(tt.want)) != 0 {
			t.Errorf("%s: memory is %s, want %s", tt.name, q.String(), tt.want)
		}
	}
}
