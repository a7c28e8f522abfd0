package labels_test

import (
	"context"
	"encoding/base64"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/agent/identity"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/controlplane/instances"
	"github.com/joinery/joinery/controlplane/labels"
	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/lab/awssim"
)

// rig is a running labeler, one managed group "g" of two instances and an API
// server in memory. It lives in a synctest bubble.
type rig struct {
	*awssim.World
	t      *testing.T
	client *fake.Clientset
	events *record.FakeRecorder
}

const template = `apiVersion: joinery.dev/v1alpha1
kind: NodeConfig
spec:
  cluster: demo
  labels: {team: data, node-role.kubernetes.io/batch: "", x.node-restriction.kubernetes.io/pci: "no"}
`

func tags(more ...awssim.Tag) []awssim.Tag {
	return append([]awssim.Tag{{Key: "k8s.io/cluster-autoscaler/enabled"}, {Key: "k8s.io/cluster-autoscaler/demo"}, {Key: v1alpha1.ClusterTag, Value: "demo", Propagate: true}}, more...)
}

func label(key, value string) awssim.Tag {
	return awssim.Tag{Key: "k8s.io/cluster-autoscaler/node-template/label/" + key, Value: value}
}

func withRig(t *testing.T, userData string, tags []awssim.Tag, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{World: &awssim.World{}, t: t, client: fake.NewClientset(), events: record.NewFakeRecorder(100)}
		defer r.Close()
		r.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", UserData: base64.StdEncoding.EncodeToString([]byte(userData))})
		r.ok(r.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 5, Desired: 2, Tags: tags}))
		role, err := iam.Controller(iam.Values{Partition: r.Partition(), Region: r.Region, Account: r.AccountID, Cluster: "demo", KMSKeyARN: "arn:aws:kms:us-west-2:123456789012:key/k"})
		r.ok(err)
		r.ok(r.AttachPolicy("controller", role))
		cfg := r.Config("controller")
		p := policy
		p.VPC = r.VPCID
		l := labels.NewLabeler(labels.Deps{
			Client: r.client, Finder: instances.NewReader(ec2.NewFromConfig(cfg), autoscaling.NewFromConfig(cfg)),
			Declarations: asg.NewDeclarations(ec2.NewFromConfig(cfg), "demo"), Events: r.events,
			Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		}, p)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = l.Run(ctx)
		}()
		synctest.Wait()
		test(r)
		cancel()
		<-done
	})
}

func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// node makes the Node of the i-th instance; change may spoil it.
func (r *rig) node(i int, change func(*corev1.Node)) string {
	r.t.Helper()
	in := r.Instances()[i]
	name, err := identity.NodeName(identity.Facts{InstanceID: in.ID, Region: "us-west-2", Zone: in.Zone, PrivateIP: in.PrivateIP}, v1alpha1.IPName)
	r.ok(err)
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "data", "node-role.kubernetes.io/by-hand": ""}},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///" + in.Zone + "/" + in.ID},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: in.PrivateIP}}},
	}
	if change != nil {
		change(n)
	}
	n.UID = types.UID("uid-" + n.Name)
	_, err = r.client.CoreV1().Nodes().Create(r.t.Context(), n, metav1.CreateOptions{})
	r.ok(err)
	return n.Name
}

func (r *rig) change(name string, change func(*corev1.Node)) {
	r.t.Helper()
	n, err := r.client.CoreV1().Nodes().Get(r.t.Context(), name, metav1.GetOptions{})
	r.ok(err)
	change(n)
	_, err = r.client.CoreV1().Nodes().Update(r.t.Context(), n, metav1.UpdateOptions{})
	r.ok(err)
}

// want fails unless the Node has these labels beside those that it came with.
func (r *rig) want(when, name string, want map[string]string) {
	r.t.Helper()
	synctest.Wait()
	n, err := r.client.CoreV1().Nodes().Get(r.t.Context(), name, metav1.GetOptions{})
	r.ok(err)
	all := map[string]string{"team": "data", "node-role.kubernetes.io/by-hand": ""}
	maps.Copy(all, want)
	if !maps.Equal(n.Labels, all) {
		r.t.Errorf("%s: labels %v, expected %v", when, n.Labels, all)
	}
}

func (r *rig) said() string {
	var out []string
	for {
		select {
		case e := <-r.events.Events:
			out = append(out, e)
		default:
			return strings.Join(out, "\n")
		}
	}
}

const soon = 300 * time.Millisecond

var declared = map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "yes", "node-role.kubernetes.io/extra": "1"}

func TestLabelsOfANewNode(t *testing.T) {
	more := tags(label("x.node-restriction.kubernetes.io/pci", "yes"), label("node-role.kubernetes.io/extra", "1"), label("other", "x"), label("kubernetes.io/arch", "arm64"))
	withRig(t, template, more, func(r *rig) {
		name := r.node(0, nil)
		time.Sleep(soon)
		r.want("at once", name, declared)
		if said := r.said(); !strings.Contains(said, "Normal NodeLabelled") || !strings.Contains(said, "node-role.kubernetes.io/batch=") {
			t.Errorf("events: %s", said)
		}
		r.ForgetCalls()
		r.change(name, func(n *corev1.Node) {
			delete(n.Labels, "node-role.kubernetes.io/batch")
			n.Labels["x.node-restriction.kubernetes.io/pci"] = "no"
		})
		time.Sleep(soon)
		r.want("after somebody changed them", name, declared)
		if calls := r.Calls(); len(calls) != 0 {
			t.Errorf("%d AWS calls about a Node that is known", len(calls))
		}
	})
}

func TestManyNodesAreFewQuestions(t *testing.T) {
	withRig(t, template, tags(), func(r *rig) {
		names := []string{r.node(0, nil), r.node(1, nil)}
		time.Sleep(soon)
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
		}, "WrongName"},
		"another's provider id and address": {func(r *rig, n *corev1.Node) {
			n.Spec.ProviderID = "aws:///" + victim(r).Zone + "/" + victim(r).ID
			n.Status.Addresses[0].Address = victim(r).PrivateIP
		}, "WrongName"},
		"a name of nobody": {func(_ *rig, n *corev1.Node) { n.Name = "rogue" }, "WrongName"},
		"an address of nobody": {func(_ *rig, n *corev1.Node) {
			n.Status.Addresses[0].Address = "10.9.9.9"
		}, "WrongAddress"},
		"an instance of nobody": {func(_ *rig, n *corev1.Node) { n.Spec.ProviderID = "aws:///us-west-2a/" + id }, ""},
		"no instance":           {func(_ *rig, n *corev1.Node) { n.Spec.ProviderID = "" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			withRig(t, template, tags(), func(r *rig) {
				node := r.node(0, func(n *corev1.Node) { test.lie(r, n) })
				time.Sleep(20 * time.Minute)
				r.change(node, func(n *corev1.Node) { n.Annotations = map[string]string{"a": "b"} })
				time.Sleep(time.Minute)
				r.want("ever", node, nil)
				if said := r.said(); !strings.Contains(said, test.says) || (test.says != "") != strings.Contains(said, "Warning IdentityNotProven") {
					t.Errorf("events: %s", said)
				}
			})
		})
	}
}

func TestInstanceOutsideTheGroupsGetsNothing(t *testing.T) {
	withRig(t, template, tags(), func(r *rig) {
		_, err := r.AddInstance(awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}})
		r.ok(err)
		node := r.node(2, nil)
		time.Sleep(time.Minute)
		r.want("ever", node, nil)
	})
}

func TestOtherClustersGroupGetsNothing(t *testing.T) {
	withRig(t, template, []awssim.Tag{{Key: "k8s.io/cluster-autoscaler/enabled"}, {Key: "k8s.io/cluster-autoscaler/prod"}, {Key: v1alpha1.ClusterTag, Value: "demo", Propagate: true}}, func(r *rig) {
		node := r.node(0, nil)
		time.Sleep(time.Minute)
		r.want("ever", node, nil)
	})
}

func TestNoDeclarationMakesAMaster(t *testing.T) {
	withRig(t, template, tags(label("node-role.kubernetes.io/control-plane", ""), label("node-role.kubernetes.io/master", ""), label("node-role.kubernetes.io/fine", "")), func(r *rig) {
		node := r.node(0, nil)
		time.Sleep(soon)
		r.want("at once", node, map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "no", "node-role.kubernetes.io/fine": ""})
		if said := r.said(); !strings.Contains(said, "Warning LabelRefused") || !strings.Contains(said, "control-plane") {
			t.Errorf("events: %s", said)
		}
	})
}

func TestMastersAreLeftAlone(t *testing.T) {
	withRig(t, template, tags(), func(r *rig) {
		node := r.node(0, func(n *corev1.Node) { n.Labels["node-role.kubernetes.io/control-plane"] = "" })
		time.Sleep(time.Minute)
		r.want("ever", node, map[string]string{"node-role.kubernetes.io/control-plane": ""})
		if n := len(r.Calls()); n != 0 {
			t.Errorf("%d AWS calls about a master", n)
		}
	})
}

// TestScriptAsUserData: fleets that still join by a script have their labels in
// tags.
func TestScriptAsUserData(t *testing.T) {
	withRig(t, "#!/bin/sh\nkubeadm join\n", tags(label("node-role.kubernetes.io/old", "")), func(r *rig) {
		node := r.node(0, nil)
		time.Sleep(soon)
		r.want("at once", node, map[string]string{"node-role.kubernetes.io/old": ""})
	})
}

func TestLateAnswers(t *testing.T) {
	withRig(t, template, tags(), func(r *rig) {
		end := r.Inject(awssim.Fault{Service: "ec2", Action: "DescribeInstances", Code: "InternalError", Status: 500})
		node := r.node(0, func(n *corev1.Node) { n.Status.Addresses = nil })
		time.Sleep(time.Minute)
		r.want("while EC2 is down", node, nil)
		end()
		time.Sleep(time.Minute)
		r.want("while it has no address", node, nil)
		r.change(node, func(n *corev1.Node) {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: r.Instances()[0].PrivateIP}}
		})
		time.Sleep(soon)
		r.want("then", node, map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "no"})
	})
}

// TestInstanceKeepsTheDeclarationOfItsLaunch: what the instance read as user data
// counts, not what a later version of the template says.
func TestInstanceKeepsTheDeclarationOfItsLaunch(t *testing.T) {
	withRig(t, template, tags(), func(r *rig) {
		r.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium",
			UserData: base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(template, "/batch", "/newer")))})
		node := r.node(0, nil)
		time.Sleep(soon)
		r.want("at once", node, map[string]string{"node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": "no"})
	})
}
