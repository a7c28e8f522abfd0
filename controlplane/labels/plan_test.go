package labels_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/instances"
	"github.com/joinery/joinery/controlplane/labels"
)

const (
	id       = "i-0123456789abcdef0"
	nodeName = "ip-10-0-0-9.us-west-2.compute.internal"
)

var policy = labels.Policy{Cluster: "demo", Region: "us-west-2", VPC: "vpc-0123456789abcdef0", Mode: v1alpha1.IPName}

func proven() (labels.Node, labels.Facts) {
	return labels.Node{Name: nodeName, UID: "u", InstanceID: id, Addresses: []string{"10.0.0.9"}, Labels: map[string]string{"node-role.kubernetes.io/by-hand": ""}},
		labels.Facts{
			Found: []instances.Instance{{ID: id, State: "running", PrivateIP: "10.0.0.9", Zone: "us-west-2a", VPC: policy.VPC, Cluster: "demo", Group: "g"}},
			Group: &instances.Group{Name: "g", Tags: map[string]string{"k8s.io/cluster-autoscaler/enabled": "", "k8s.io/cluster-autoscaler/demo": ""}, Lifecycles: map[string]string{id: "InService"}},
			Declared: map[string]string{
				"team": "data", "node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "yes", "kubernetes.io/hostname": "other",
				"node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/master": "",
			},
		}
}

func TestPlan(t *testing.T) {
	d := labels.Plan(first(proven()), second(proven()), policy)
	want := map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "yes"}
	if d.Reason != labels.Proven || !maps.Equal(d.Want, want) {
		t.Errorf("%s: wants %v, expected %v", d.Reason, d.Want, want)
	}
	if want := []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}; !slices.Equal(d.Refused, want) {
		t.Errorf("refuses %q, expected %q", d.Refused, want)
	}
}

func first(n labels.Node, _ labels.Facts) labels.Node   { return n }
func second(_ labels.Node, f labels.Facts) labels.Facts { return f }

func TestOnlyAProvenNodeGetsLabels(t *testing.T) {
	type change func(n *labels.Node, i *instances.Instance, f *labels.Facts)
	for _, test := range []struct {
		name   string
		change change
		want   labels.Reason
	}{
		{"unknown to EC2", func(_ *labels.Node, _ *instances.Instance, f *labels.Facts) { f.Found = nil }, labels.NoInstance},
		{"two of them", func(_ *labels.Node, i *instances.Instance, f *labels.Facts) { f.Found = append(f.Found, *i) }, labels.NoInstance},
		{"another was found", func(_ *labels.Node, i *instances.Instance, _ *labels.Facts) { i.ID = "i-00000000" }, labels.NoInstance},
		{"no address in EC2", func(_ *labels.Node, i *instances.Instance, _ *labels.Facts) { i.PrivateIP = "" }, labels.NoInstance},
		{"stopped", func(_ *labels.Node, i *instances.Instance, _ *labels.Facts) { i.State = "stopped" }, labels.NotAlive},
		{"terminated", func(_ *labels.Node, i *instances.Instance, _ *labels.Facts) { i.State = "terminated" }, labels.NotAlive},
		{"other VPC", func(_ *labels.Node, i *instances.Instance, _ *labels.Facts) { i.VPC = "vpc-1" }, labels.OtherVPC},
		{"other cluster", func(_ *labels.Node, i *instances.Instance, _ *labels.Facts) { i.Cluster = "prod" }, labels.OtherCluster},
		{"no cluster tag", func(_ *labels.Node, i *instances.Instance, _ *labels.Facts) { i.Cluster = "" }, labels.OtherCluster},
		{"no group", func(_ *labels.Node, i *instances.Instance, f *labels.Facts) { i.Group, f.Group = "", nil }, labels.NotManaged},
		{"another group's facts", func(_ *labels.Node, i *instances.Instance, _ *labels.Facts) { i.Group = "h" }, labels.NotManaged},
		{"group not managed", func(_ *labels.Node, _ *instances.Instance, f *labels.Facts) { f.Group.Tags = nil }, labels.NotManaged},
		{"group does not list it", func(_ *labels.Node, _ *instances.Instance, f *labels.Facts) { f.Group.Lifecycles = nil }, labels.NotMember},
		{"name of another", func(n *labels.Node, _ *instances.Instance, _ *labels.Facts) {
			n.Name = "ip-10-0-0-8.us-west-2.compute.internal"
		}, labels.WrongName},
		{"no address", func(n *labels.Node, _ *instances.Instance, _ *labels.Facts) { n.Addresses = nil }, labels.NoAddress},
		{"address of another", func(n *labels.Node, _ *instances.Instance, _ *labels.Facts) { n.Addresses = []string{"10.0.0.8"} }, labels.WrongAddress},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, f := proven()
			test.change(&n, &f.Found[0], &f)
			d := labels.Plan(n, f, policy)
			if d.Reason != test.want || d.Message == "" {
				t.Errorf("%s (%s): expected %s", d.Reason, d.Message, test.want)
			}
			if len(d.Want) != 0 {
				t.Errorf("wants %v", d.Want)
			}
		})
	}
}

func TestMissingTouchesDeclaredLabelsOnly(t *testing.T) {
	n, _ := proven()
	n.Labels["node-role.kubernetes.io/a"] = "old"
	n.Labels["node-role.kubernetes.io/b"] = "same"
	got := labels.Missing(n, map[string]string{"node-role.kubernetes.io/a": "new", "node-role.kubernetes.io/b": "same", "node-role.kubernetes.io/c": ""})
	if want := map[string]string{"node-role.kubernetes.io/a": "new", "node-role.kubernetes.io/c": ""}; !maps.Equal(got, want) {
		t.Errorf("got %v, expected %v", got, want)
	}
}
