package binder_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/lab/awssim"
)

// site is a simulated AWS and API server, and a Binder over both.
type site struct {
	*testing.T
	aws    *awssim.World
	client *fake.Clientset
	// informer is what the Binder knows of Nodes without reading them.
	informer []*corev1.Node
	binder   *binder.Binder
	log      *strings.Builder
}

func newSite(t *testing.T) *site {
	s := &site{T: t, aws: &awssim.World{}, client: fake.NewClientset(), log: &strings.Builder{}}
	t.Cleanup(s.aws.Close)
	cfg := s.aws.Config("controller")
	rules := binding.Rules{Cluster: "demo", Region: cfg.Region, VPC: s.instance().VPCID, Mode: v1alpha1.InstanceIDName}
	s.binder = binder.New(binder.Options{
		Nodes:  func() ([]*corev1.Node, error) { return s.informer, nil },
		Client: s.client, Adopted: binder.ConfigMap(s.client), Log: slog.New(slog.NewTextHandler(s.log, nil)),
		Fleet: awsfleet.New(awsfleet.Options{EC2: ec2.NewFromConfig(cfg), AutoScaling: autoscaling.NewFromConfig(cfg), Scope: fleet.Scope{Cluster: "demo"}}),
		Rules: rules,
	})
	return s
}

func (s *site) instance() awssim.Instance {
	s.Helper()
	i, err := s.aws.AddInstance(awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}})
	if err != nil {
		s.Fatal(err)
	}
	return i
}

// node makes a Node of that name that claims to be the instance. The informer learns
// of it unless it is late.
func (s *site) node(name string, i awssim.Instance, late bool) *corev1.Node {
	s.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)}}
	n.Spec.ProviderID = "aws:///" + i.Zone + "/" + i.ID
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: i.PrivateIP}, {Type: corev1.NodeHostName, Address: name}}
	if err := s.client.Tracker().Add(n); err != nil {
		s.Fatal(err)
	}
	if !late {
		s.informer = append(s.informer, n)
	}
	return n
}

func (s *site) adopt(data map[string]string) {
	s.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "joinery-adopted"}, Data: data}
	if err := s.client.Tracker().Add(m); err != nil {
		s.Fatal(err)
	}
}

func recordOf(t *testing.T, n *corev1.Node) string {
	t.Helper()
	text, err := json.Marshal(binding.Record{UID: string(n.UID), ProviderID: n.Spec.ProviderID, InEC2: true})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *site) fresh(n *corev1.Node) binding.Verdict {
	s.Helper()
	v, err := s.binder.Fresh(s.Context(), n.Name, n.UID)
	if err != nil {
		s.Fatal(err)
	}
	return v
}

func TestFreshAndAllAgree(t *testing.T) {
	s := newSite(t)
	honest, victim := s.instance(), s.instance()
	n := s.node(honest.ID, honest, false)
	liar := s.node("liar", victim, false)
	all, err := s.binder.All(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []*corev1.Node{n, liar} {
		if fresh := s.fresh(node); fresh.Standing != all[node.Name].Standing || fresh.Reason != all[node.Name].Reason {
			t.Errorf("%s: %s %s now, %s %s in the picture", node.Name, fresh.Standing, fresh.Reason, all[node.Name].Standing, all[node.Name].Reason)
		}
	}
	if !all[n.Name].Is(honest.ID) || all[liar.Name].Standing != binding.Impostor {
		t.Errorf("verdicts: %+v", all)
	}
	calls := len(s.aws.CallsTo("ec2", "DescribeInstances"))
	if _, err := s.binder.All(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if now := len(s.aws.CallsTo("ec2", "DescribeInstances")); now != calls {
		t.Errorf("%d calls for what is known", now-calls)
	}
	s.aws.Terminate(honest.ID)
	s.aws.Settle()
	if v := s.fresh(n); v.Standing != binding.Leaving {
		t.Errorf("after its termination: %+v", v)
	}
}

func TestFreshFindsWhatTheInformerDoesNotKnow(t *testing.T) {
	s := newSite(t)
	i := s.instance()
	liar := s.node("liar", i, false)
	if v := s.fresh(liar); v.Standing != binding.Impostor || v.Reason != binding.OtherName {
		t.Errorf("alone: %+v", v)
	}
	s.node(i.ID, i, true)
	if v := s.fresh(liar); v.Reason != binding.ClaimedTwice || !v.Proven {
		t.Errorf("with the instance's own node: %+v", v)
	}

	second := s.instance()
	own := s.node(second.ID, second, false)
	if v := s.fresh(own); !v.Is(second.ID) {
		t.Errorf("alone: %+v", v)
	}
	old := s.node("old", second, true)
	s.adopt(map[string]string{"old": recordOf(t, old)})
	if v := s.fresh(own); v.Standing != binding.Impostor {
		t.Errorf("with an adopted node of the instance: %+v", v)
	}
	if v := s.fresh(old); !v.Is(second.ID) || v.Standing != binding.Adopted {
		t.Errorf("the adopted node: %+v", v)
	}
}

func TestFreshOfAnotherNode(t *testing.T) {
	s := newSite(t)
	i := s.instance()
	n := s.node(i.ID, i, false)
	var changed *binder.ChangedError
	if _, err := s.binder.Fresh(t.Context(), n.Name, "before"); !errors.As(err, &changed) || changed.Found != n.UID {
		t.Errorf("another uid: %v", err)
	}
	if _, err := s.binder.Fresh(t.Context(), "none", "x"); !errors.As(err, &changed) || changed.Found != "" {
		t.Errorf("no node: %v", err)
	}
}

func TestBadRecordsDropNoOther(t *testing.T) {
	s := newSite(t)
	i, j := s.instance(), s.instance()
	good, bad := s.node("good", i, false), s.node("bad", j, false)
	s.adopt(map[string]string{"good": recordOf(t, good), "bad": `{"uid": "uid-bad", "zone": "a"}`})
	for range 2 {
		if v := s.fresh(good); v.Standing != binding.Adopted {
			t.Errorf("good: %+v", v)
		}
	}
	if v := s.fresh(bad); v.Standing != binding.Impostor {
		t.Errorf("bad: %+v", v)
	}
	if lines := strings.Count(s.log.String(), "adoption records"); lines != 1 || !strings.Contains(s.log.String(), "zone") {
		t.Errorf("log: %s", s.log)
	}
}

func TestParseRecords(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"uid":"a"}`: true, `{"uid":"a","providerID":"aws:///z/i-0123456789abcdef0","inEC2":true}`: true,
		`{}`: false, ``: false, `null`: false, `{"uid":"a"} {}`: false, `{"uid":1}`: false, `{"uid":"a","extra":1}`: false,
	} {
		records, err := binder.ParseRecords(map[string]string{"n": text})
		var bad *binder.EntryError
		if _, found := records["n"]; found != ok || (err == nil) != ok || err != nil && (!errors.As(err, &bad) || bad.Problems["n"] == nil) {
			t.Errorf("%s: %v, %v", text, records, err)
		}
	}
}
