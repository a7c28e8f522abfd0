package labels_test

import (
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/labels"
	"github.com/joinery/joinery/internal/fleet/launch"
	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// rig is a running labeler, one managed group "g" of two instances and an API
// server in memory. It lives in a synctest bubble.
type rig struct{ *simcluster.Cluster }

const template = `apiVersion: joinery.dev/v1alpha1
kind: NodeConfig
spec:
  cluster: demo
  labels: {team: data, node-role.kubernetes.io/batch: "", x.node-restriction.kubernetes.io/pci: "no"}
`

func label(key, value string) awssim.Tag {
	return awssim.Tag{Key: "k8s.io/cluster-autoscaler/node-template/label/" + key, Value: value}
}

func withRig(t *testing.T, userData string, tags []awssim.Tag, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{simcluster.New(t, &awssim.World{})}
		r.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", UserData: base64.StdEncoding.EncodeToString([]byte(userData))})
		r.OK(r.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 5, Desired: 2, Tags: tags}))
		r.Role()
		by := r.Readers(r.Config("controller"))
		l := labels.NewLabeler(labels.Deps{
			Client: r.Client, Finder: by.Fleet, Store: by.Store, Binding: by.Binder,
			Declarations: launch.NewDeclarations(launch.NewTemplates(by.EC2), simcluster.Name), Events: r.Events,
			Registry: r.Registry, Log: r.Log,
		}, policy)
		stop := r.Start(l.Run)
		synctest.Wait()
		test(r)
		_ = stop()
	})
}

// node makes the Node of the i-th instance; change may spoil it.
func (r *rig) node(i int, change func(*corev1.Node)) string {
	r.T.Helper()
	in := r.Instances()[i]
	name, err := identity.NodeName(identity.Facts{InstanceID: in.ID, Region: "us-west-2", Zone: in.Zone, PrivateIP: in.PrivateIP}, v1alpha1.IPName)
	r.OK(err)
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "data", "node-role.kubernetes.io/by-hand": ""}},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///" + in.Zone + "/" + in.ID},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: in.PrivateIP}}},
	}
	if change != nil {
		change(n)
	}
	return r.AddNode(n)
}

// want fails unless the Node has these labels beside those that it came with.
func (r *rig) want(when, name string, want map[string]string) {
	r.T.Helper()
	synctest.Wait()
	n := r.Node(name)
	all := map[string]string{"team": "data", "node-role.kubernetes.io/by-hand": ""}
	maps.Copy(all, want)
	if !maps.Equal(n.Labels, all) {
		r.T.Errorf("%s: labels %v, expected %v", when, n.Labels, all)
	}
}

const soon = 300 * time.Millisecond

var declared = map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "yes", "node-role.kubernetes.io/extra": "1"}

func TestLabelsOfANewNode(t *testing.T) {
	more := simcluster.Tags(label("x.node-restriction.kubernetes.io/pci", "yes"), label("node-role.kubernetes.io/extra", "1"), label("other", "x"), label("kubernetes.io/arch", "arm64"))
	withRig(t, template, more, func(r *rig) {
		name := r.node(0, nil)
		bubble.Sleep(soon)
		r.want("at once", name, declared)
		if said := r.Said(); !strings.Contains(said, "Normal NodeLabelled") || !strings.Contains(said, "node-role.kubernetes.io/batch=") {
			t.Errorf("events: %s", said)
		}
		r.ForgetCalls()
		r.ChangeNode(name, func(n *corev1.Node) {
			delete(n.Labels, "node-role.kubernetes.io/batch")
			n.Labels["x.node-restriction.kubernetes.io/pci"] = "no"
		})
		bubble.Sleep(soon)
		r.want("after somebody changed them", name, declared)
		if calls := r.Calls(); len(calls) != 0 {
			t.Errorf("%d AWS calls about a Node that is known", len(calls))
		}
	})
}

func TestManyNodesAreFewQuestions(t *testing.T) {
	withRig(t, template, simcluster.Tags(), func(r *rig) {
		names := []string{r.node(0, nil), r.node(1, nil)}
		bubble.Sleep(soon)
		for _, name := range names {
			r.want("together", name, map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "no"})
		}
		if n := len(r.Calls()); n != 3 {
			t.Errorf("%d AWS calls, expected one for the instances, the group and its template", n)
		}
	})
}

// TestRogueKubelet: whoever holds the certificate of one node can write what he
// likes on that Node, and gets no other's labels by it.
func TestRogueKubelet(t *testing.T) {
	victim := func(r *rig) awssim.Instance { return r.Instances()[1] }
	for name, test := range map[string]struct {
		lie  func(r *rig, n *corev1.Node)
		says string
	}{
		"another's provider id": {func(r *rig, n *corev1.Node) {
			n.Spec.ProviderID = "aws:///" + victim(r).Zone + "/" + victim(r).ID
		}, "OtherName"},
		"another's provider id and address": {func(r *rig, n *corev1.Node) {
			n.Spec.ProviderID = "aws:///" + victim(r).Zone + "/" + victim(r).ID
			n.Status.Addresses[0].Address = victim(r).PrivateIP
		}, "OtherName"},
		"a name of nobody": {func(_ *rig, n *corev1.Node) { n.Name = "rogue" }, "OtherName"},
		"an address of nobody": {func(_ *rig, n *corev1.Node) {
			n.Status.Addresses[0].Address = "10.9.9.9"
		}, "OtherAddress"},
		"an instance of nobody": {func(_ *rig, n *corev1.Node) { n.Spec.ProviderID = "aws:///us-west-2a/" + id }, ""},
		"no instance":           {func(_ *rig, n *corev1.Node) { n.Name, n.Spec.ProviderID = "rogue", "" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			withRig(t, template, simcluster.Tags(), func(r *rig) {
				node := r.node(0, func(n *corev1.Node) { test.lie(r, n) })
				bubble.Sleep(20 * time.Minute)
				r.ChangeNode(node, func(n *corev1.Node) { n.Annotations = map[string]string{"a": "b"} })
				bubble.Sleep(time.Minute)
				r.want("ever", node, nil)
				if said := r.Said(); !strings.Contains(said, test.says) || (test.says != "") != strings.Contains(said, "Warning IdentityNotProven") {
					t.Errorf("events: %s", said)
				}
			})
		})
	}
}

func TestInstanceOutsideTheGroupsGetsNothing(t *testing.T) {
	withRig(t, template, simcluster.Tags(), func(r *rig) {
		_, err := r.AddInstance(awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}})
		r.OK(err)
		node := r.node(2, nil)
		bubble.Sleep(time.Minute)
		r.want("ever", node, nil)
	})
}

func TestOtherClustersGroupGetsNothing(t *testing.T) {
	withRig(t, template, []awssim.Tag{{Key: "k8s.io/cluster-autoscaler/enabled"}, {Key: "k8s.io/cluster-autoscaler/prod"}, {Key: v1alpha1.ClusterTag, Value: "demo", Propagate: true}}, func(r *rig) {
		node := r.node(0, nil)
		bubble.Sleep(time.Minute)
		r.want("ever", node, nil)
	})
}

func TestNoDeclarationMakesAMaster(t *testing.T) {
	withRig(t, template, simcluster.Tags(label("node-role.kubernetes.io/control-plane", ""), label("node-role.kubernetes.io/master", ""), label("node-role.kubernetes.io/fine", "")), func(r *rig) {
		node := r.node(0, nil)
		bubble.Sleep(soon)
		r.want("at once", node, map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "no", "node-role.kubernetes.io/fine": ""})
		if said := r.Said(); !strings.Contains(said, "Warning LabelRefused") || !strings.Contains(said, "control-plane") {
			t.Errorf("events: %s", said)
		}
	})
}

func TestMastersAreLeftAlone(t *testing.T) {
	withRig(t, template, simcluster.Tags(), func(r *rig) {
		node := r.node(0, func(n *corev1.Node) { n.Labels["node-role.kubernetes.io/control-plane"] = "" })
		bubble.Sleep(time.Minute)
		r.want("ever", node, map[string]string{"node-role.kubernetes.io/control-plane": ""})
		if n := len(r.Calls()); n != 0 {
			t.Errorf("%d AWS calls about a master", n)
		}
	})
}

// TestScriptAsUserData: fleets that still join by a script have their labels in
// tags.
func TestScriptAsUserData(t *testing.T) {
	withRig(t, "#!/bin/sh\nkubeadm join\n", simcluster.Tags(label("node-role.kubernetes.io/old", "")), func(r *rig) {
		node := r.node(0, nil)
		bubble.Sleep(soon)
		r.want("at once", node, map[string]string{"node-role.kubernetes.io/old": ""})
	})
}

func TestLateAnswers(t *testing.T) {
	withRig(t, template, simcluster.Tags(), func(r *rig) {
		end := r.Inject(awssim.Fault{Service: "ec2", Action: "DescribeInstances", Code: "InternalError", Status: 500})
		node := r.node(0, func(n *corev1.Node) { n.Status.Addresses = nil })
		bubble.Sleep(time.Minute)
		r.want("while EC2 is down", node, nil)
		end()
		bubble.Sleep(time.Minute)
		r.want("while it has no address", node, nil)
		r.ChangeNode(node, func(n *corev1.Node) {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: r.Instances()[0].PrivateIP}}
		})
		bubble.Sleep(soon)
		r.want("then", node, map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "no"})
	})
}

// TestInstanceKeepsTheDeclarationOfItsLaunch: what the instance read as user data
// counts, not what a later version of the template says.
func TestInstanceKeepsTheDeclarationOfItsLaunch(t *testing.T) {
	withRig(t, template, simcluster.Tags(), func(r *rig) {
		r.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium",
			UserData: base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(template, "/batch", "/newer")))})
		node := r.node(0, nil)
		bubble.Sleep(soon)
		r.want("at once", node, map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "no"})
	})
}
