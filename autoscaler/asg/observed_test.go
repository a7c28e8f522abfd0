package asg_test

import (
	"maps"
	"path"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
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

// bound binds each node to the instance at the end of its provider id.
func bound(nodes []*corev1.Node) map[string]binding.Verdict {
	out := map[string]binding.Verdict{}
	for _, n := range nodes {
		id := path.Base(n.Spec.ProviderID)
		out[n.Name] = binding.Verdict{Standing: binding.Bound, InstanceID: id, Instance: &fleet.Instance{ID: id}}
	}
	return out
}

func TestObservedBelievesReadyNodesOfTheSameVersion(t *testing.T) {
	template := &cluster.Template{
		Capacity:    corev1.ResourceList{"memory": resource.MustParse("3788Mi"), "nvidia.com/gpu": resource.MustParse("1")},
		Allocatable: corev1.ResourceList{"memory": resource.MustParse("3688Mi"), "nvidia.com/gpu": resource.MustParse("1")},
	}
	group := cluster.Group{Template: template, LaunchTemplateVersion: "2", InstanceType: "t3.medium", Instances: []cluster.Instance{
		{ID: "i-00000011", Type: "t3.medium", LaunchTemplateVersion: "2"},
		{ID: "i-00000012", Type: "t3.medium", LaunchTemplateVersion: "2"},
		{ID: "i-0000001d", Type: "t3.medium", LaunchTemplateVersion: "1"},
		{ID: "i-00000b16", Type: "t3.large", LaunchTemplateVersion: "2"},
	}}
	for _, tt := range []struct {
		name  string
		nodes []*corev1.Node
		want  string
	}{
		{"no node", nil, "3688Mi"},
		{"the least of two", []*corev1.Node{liveNode("i-00000011", "3900Mi", "True"), liveNode("i-00000012", "3890Mi", "True")}, "3890Mi"},
		{"not ready", []*corev1.Node{liveNode("i-00000011", "3900Mi", "False")}, "3688Mi"},
		{"another version", []*corev1.Node{liveNode("i-0000001d", "3900Mi", "True")}, "3688Mi"},
		{"another type", []*corev1.Node{liveNode("i-00000b16", "7900Mi", "True")}, "3688Mi"},
		{"no member", []*corev1.Node{liveNode("i-0000e15e", "7900Mi", "True")}, "3688Mi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := asg.Look(tt.nodes, nil, bound(tt.nodes)).Template(group, asg.Known{})
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

func TestLabelsThatAllNodesShareAreLearned(t *testing.T) {
	template := &cluster.Template{Labels: map[string]string{"team": "a"}, Capacity: corev1.ResourceList{}, Allocatable: corev1.ResourceList{}}
	group := cluster.Group{Template: template, LaunchTemplateVersion: "2", InstanceType: "t3.medium"}
	var nodes []*corev1.Node
	for _, id := range []string{"i-0000000a", "i-0000000b"} {
		group.Instances = append(group.Instances, cluster.Instance{ID: id, Type: "t3.medium", LaunchTemplateVersion: "2"})
		n := liveNode(id, "4Gi", "True")
		n.Spec.Taints = []corev1.Taint{{Key: "learned", Effect: "NoSchedule"}}
		n.Labels = map[string]string{
			"team": "b", "vendor.example/cpu": "fast", "only": id, corev1.LabelHostname: "same", corev1.LabelTopologyZone: "us-west-2a",
			"topology.k8s.aws/zone-id": "usw2-az1", cluster.EBSZoneLabel: "us-west-2" + id[9:], "serial": "x-" + id, "node.kubernetes.io/exclude-from-external-load-balancers": "", v1alpha1.UnneededSinceLabel: "1777636800",
		}
		nodes = append(nodes, n)
	}
	got := asg.Look(nodes, nil, bound(nodes)).Template(group, asg.Known{})
	want := map[string]string{"team": "a", "vendor.example/cpu": "fast", cluster.EBSZoneLabel: ""}
	if !maps.Equal(got.Labels, want) || len(got.Taints) != 0 {
		t.Errorf("labels %v, taints %v: want %v and no taint", got.Labels, got.Taints, want)
	}
	if len(template.Labels) != 1 {
		t.Errorf("the template was changed in place: %v", template.Labels)
	}
}

func TestAttachLimitsAreTheLeastReported(t *testing.T) {
	csi := func(node string, counts map[string]*int32) *storagev1.CSINode {
		c := &storagev1.CSINode{}
		c.Name = node
		for driver, n := range counts {
			c.Spec.Drivers = append(c.Spec.Drivers, storagev1.CSINodeDriver{Name: driver, Allocatable: &storagev1.VolumeNodeResources{Count: n}})
		}
		return c
	}
	more, less := int32(27), int32(25)
	group := cluster.Group{Template: &cluster.Template{}, InstanceType: "t3.medium", Instances: []cluster.Instance{{ID: "i-00000001", Type: "t3.medium"}, {ID: "i-00000002", Type: "t3.medium"}}}
	nodes := []*corev1.Node{liveNode("i-00000001", "4Gi", "True"), liveNode("i-00000002", "4Gi", "True")}
	sight := asg.Look(nodes, []*storagev1.CSINode{csi("node-i-00000001", map[string]*int32{"ebs": &more, "efs": nil}), csi("node-i-00000002", map[string]*int32{"ebs": &less}), csi("other", map[string]*int32{"ebs": new(int32)})}, bound(nodes))
	if got := sight.Template(group, asg.Known{}).AttachLimits; !maps.Equal(got, map[string]int32{"ebs": 25}) {
		t.Errorf("attach limits are %v, want 25 of ebs", got)
	}
}
