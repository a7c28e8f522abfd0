package labels_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/joinery/joinery/controlplane/labels"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
)

const (
	id       = "i-0123456789abcdef0"
	nodeName = "ip-10-0-0-9.us-west-2.compute.internal"
)

var policy = labels.Policy{Cluster: "demo"}

func proven() (labels.Node, labels.Facts) {
	return labels.Node{Name: nodeName, UID: "u", Labels: map[string]string{"node-role.kubernetes.io/by-hand": ""}},
		labels.Facts{
			Verdict: binding.Verdict{Standing: binding.Bound, Reason: binding.FactsAgree, InstanceID: id, Instance: &fleet.Instance{ID: id, State: "running", Cluster: "demo", Group: "g"}},
			Group:   &fleet.Group{Name: "g", Tags: map[string]string{"k8s.io/cluster-autoscaler/enabled": "", "k8s.io/cluster-autoscaler/demo": "", "joinery:cluster": "demo"}, Members: []fleet.Member{{ID: id, LifecycleState: fleet.InService}}},
			Declared: map[string]string{
				"team": "data", "node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "yes", "kubernetes.io/hostname": "other",
				"node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/master": "",
			},
		}
}

func TestPlan(t *testing.T) {
	d := labels.Plan(second(proven()), policy)
	want := map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "yes"}
	if d.Reason != labels.Proven || !maps.Equal(d.Want, want) {
		t.Errorf("%s: wants %v, expected %v", d.Reason, d.Want, want)
	}
	if want := []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}; !slices.Equal(d.Refused, want) {
		t.Errorf("refuses %q, expected %q", d.Refused, want)
	}
}

func second(_ labels.Node, f labels.Facts) labels.Facts { return f }

func TestOnlyAProvenNodeGetsLabels(t *testing.T) {
	stands := func(s binding.Standing, r binding.Reason) func(*labels.Facts) {
		return func(f *labels.Facts) { f.Verdict.Standing, f.Verdict.Reason, f.Verdict.Message = s, r, "m" }
	}
	for _, test := range []struct {
		name   string
		change func(f *labels.Facts)
		want   labels.Reason
		lie    bool
	}{
		{"not looked up", func(f *labels.Facts) { f.Verdict = binding.Verdict{} }, labels.Reason(binding.NotObserved), false},
		{"unknown to EC2", stands(binding.Unknown, binding.NoSuchInstance), labels.Reason(binding.NoSuchInstance), false},
		{"terminated", stands(binding.Leaving, binding.InstanceGone), labels.Reason(binding.InstanceGone), false},
		{"other VPC", stands(binding.Unknown, binding.OtherVPC), labels.Reason(binding.OtherVPC), false},
		{"name of another", stands(binding.Impostor, binding.OtherName), labels.Reason(binding.OtherName), true},
		{"bound to what EC2 does not show", func(f *labels.Facts) { f.Verdict.Instance = nil }, labels.Reason(binding.FactsAgree), false},
		{"other cluster", func(f *labels.Facts) { f.Verdict.Instance.Cluster = "prod" }, labels.Reason(binding.OtherCluster), false},
		{"no cluster tag", func(f *labels.Facts) { f.Verdict.Instance.Cluster = "" }, labels.Reason(binding.OtherCluster), false},
		{"no group", func(f *labels.Facts) { f.Verdict.Instance.Group, f.Group = "", nil }, labels.NotManaged, false},
		{"another group's facts", func(f *labels.Facts) { f.Verdict.Instance.Group = "h" }, labels.NotManaged, false},
		{"group not managed", func(f *labels.Facts) { f.Group.Tags = nil }, labels.NotManaged, false},
		{"group does not list it", func(f *labels.Facts) { f.Group.Members = nil }, labels.NotMember, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, f := proven()
			f.Verdict.Message = "m"
			test.change(&f)
			d := labels.Plan(f, policy)
			if d.Reason != test.want || d.Message == "" || d.Lie != test.lie {
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
