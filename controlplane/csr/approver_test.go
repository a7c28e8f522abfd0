package csr_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/instances"
	"github.com/joinery/joinery/lab/awssim"
)

// rig is an approver between a simulated AWS with one managed group of one
// instance and an API server in memory.
type rig struct {
	*awssim.World
	client   *fake.Clientset
	events   *record.FakeRecorder
	instance awssim.Instance
	tokens   atomic.Pointer[tokens]
}

// tokens are the ids of those that are ours; nil for those of an API server that
// is away.
type tokens map[string]bool

func (t tokens) Issued(_ context.Context, id string) (bool, error) {
	if t == nil {
		return false, errors.New("API server is away")
	}
	return t[id], nil
}

func (r *rig) Issued(ctx context.Context, id string) (bool, error) {
	return r.tokens.Load().Issued(ctx, id)
}

// withRig runs test with a running approver, in a bubble with its own time.
func withRig(t *testing.T, test func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{}
		defer w.Close()
		w.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: "ami-1", InstanceType: "m5.large"})
		tags := []awssim.Tag{
			{Key: "k8s.io/cluster-autoscaler/enabled", Value: "true"}, {Key: "k8s.io/cluster-autoscaler/demo", Value: "owned"},
			{Key: "joinery:cluster", Value: "demo", Propagate: true},
		}
		if err := w.PutGroup(awssim.GroupSpec{Name: "workers", Max: 3, Desired: 1, LaunchTemplate: "nodes", Tags: tags}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		r := &rig{World: w, client: fake.NewClientset(), events: record.NewFakeRecorder(100), instance: w.Instances()[0]}
		r.tokens.Store(&tokens{"abcdef": true})
		cfg := w.Config("controller")
		cfg.RetryMaxAttempts = 1
		p := policy
		p.VPC = r.instance.VPCID
		a := csr.NewApprover(csr.Deps{
			Client: r.client, Finder: instances.NewReader(ec2.NewFromConfig(cfg), autoscaling.NewFromConfig(cfg)),
			Tokens: r, Events: r.events, Metrics: csr.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
		}, p)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		synctest.Wait()
		test(t, r)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("approver ended with %v", err)
		}
	})
}

// ask creates an agent's request for the node name and gives it wait.
func (r *rig) ask(t *testing.T, name, node string, wait time.Duration) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	tmpl := template()
	tmpl.Subject.CommonName = "system:node:" + node
	c := agentRequest(t, encode(t, tmpl, newKey(t)))
	c.Name, c.ResourceVersion, c.CreationTimestamp = name, "7", metav1.Now()
	if _, err := r.client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(wait)
	synctest.Wait()
	return c
}

// outcome is "" while a request is open, else its condition and reason.
func (r *rig) outcome(t *testing.T, name string) string {
	t.Helper()
	c, err := r.client.CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, k := range c.Status.Conditions {
		out = append(out, fmt.Sprintf("%s %s", k.Type, k.Reason))
	}
	return strings.Join(out, ", ")
}

func (r *rig) want(t *testing.T, name, want string) {
	t.Helper()
	if got := r.outcome(t, name); got != want {
		t.Errorf("%s: got %q: expected %q", name, got, want)
	}
}

func (r *rig) putNode(t *testing.T, instanceID string, ready bool) *corev1.Node {
	t.Helper()
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: r.instance.PrivateDNSName, UID: "n1", CreationTimestamp: metav1.Now()},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///us-west-2a/" + instanceID},
	}
	if ready {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	}
	n, err := r.client.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestApprovesItsOwnInstanceAtOnce(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.ask(t, "a", r.instance.PrivateDNSName, 200*time.Millisecond)
		r.want(t, "a", "Approved JoineryAttested")
		if e := <-r.events.Events; !strings.Contains(e, "Normal ApproveAttested") || !strings.Contains(e, r.instance.ID) {
			t.Errorf("event %q", e)
		}
		grants, err := r.client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), csr.GrantsName, metav1.GetOptions{})
		if err != nil || !strings.Contains(grants.Data[r.instance.ID], `"keys":["`) {
			t.Errorf("grants %v: %v", grants, err)
		}
	})
}

func TestDeniesAnotherName(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.ask(t, "master", "kubernetes-master", time.Second)
		r.want(t, "master", "Denied JoineryWrongName")
		r.ask(t, "nobody", "ip-10-99-0-200.us-west-2.compute.internal", time.Minute)
		r.want(t, "nobody", "")
		time.Sleep(2 * time.Minute)
		r.want(t, "nobody", "Denied JoineryNoInstance")
	})
}

func TestHoldsWhileEC2IsAway(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		remove := r.Inject(awssim.Fault{Service: "ec2", Code: awssim.Throttle})
		r.ask(t, "a", r.instance.PrivateDNSName, 5*time.Minute)
		r.want(t, "a", "")
		if len(r.events.Events) != 1 {
			t.Errorf("%d events: expected one for the whole time", len(r.events.Events))
		}
		remove()
		time.Sleep(15 * time.Second)
		r.want(t, "a", "Approved JoineryAttested")
	})
}

func TestHoldsUntilTheInstanceShows(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.Inject(awssim.Fault{InstanceID: r.instance.ID, LateDescribe: time.Minute})
		r.ask(t, "a", r.instance.PrivateDNSName, time.Second)
		r.want(t, "a", "")
		time.Sleep(time.Minute)
		r.want(t, "a", "Approved JoineryAttested")
	})
}

func TestRequestsOfOthersAreNotTouched(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		c := agentRequest(t, encode(t, template(), newKey(t)))
		c.Name, c.Spec.SignerName = "serving", certificatesv1.KubeletServingSignerName
		if _, err := r.client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		r.want(t, "serving", "")
	})
}

func TestGrantsAreBounded(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		for i, want := range []string{
			"Approved JoineryAttested", "Approved JoineryRegranted", "Approved JoineryRegranted", "Approved JoineryRegranted", "Approved JoineryRegranted",
			"Denied JoineryTooManyGrants",
		} {
			name := fmt.Sprint("a", i)
			r.ask(t, name, r.instance.PrivateDNSName, time.Second)
			r.want(t, name, want)
		}
	})
}

func TestAJoinedNodeGetsNoSecondIdentity(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.ask(t, "first", r.instance.PrivateDNSName, time.Second)
		n := r.putNode(t, r.instance.ID, true)
		time.Sleep(time.Second)
		r.ask(t, "while ready", r.instance.PrivateDNSName, time.Second)
		r.want(t, "while ready", "Denied JoineryAlreadyJoined")
		n.Status.Conditions[0].Status = corev1.ConditionFalse
		if _, err := r.client.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		r.ask(t, "while not ready", r.instance.PrivateDNSName, time.Second)
		r.want(t, "while not ready", "Denied JoineryAlreadyJoined")
	})
}

func TestStaleNodeGoesFirst(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.putNode(t, goneID, false)
		r.ask(t, "a", r.instance.PrivateDNSName, 2*time.Second)
		r.want(t, "a", "Approved JoineryAttested")
		if _, err := r.client.CoreV1().Nodes().Get(t.Context(), r.instance.PrivateDNSName, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("stale node: %v", err)
		}
	})
}

func TestReadyNodeThatEC2DoesNotKnowStays(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.putNode(t, goneID, true)
		r.ask(t, "a", r.instance.PrivateDNSName, time.Minute)
		r.want(t, "a", "")
		if _, err := r.client.CoreV1().Nodes().Get(t.Context(), r.instance.PrivateDNSName, metav1.GetOptions{}); err != nil {
			t.Errorf("the node: %v", err)
		}
	})
}

func TestRestartedNodeThatWasReadyGetsNoSecondIdentity(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		n := r.putNode(t, r.instance.ID, false)
		n.CreationTimestamp = metav1.NewTime(time.Now().Add(-24 * time.Hour))
		r.ask(t, "first", r.instance.PrivateDNSName, time.Second)
		r.want(t, "first", "Approved JoineryAttested")
		for _, status := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionUnknown} {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, LastTransitionTime: metav1.Now()}}
			if _, err := r.client.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		r.ask(t, "second", r.instance.PrivateDNSName, time.Second)
		r.want(t, "second", "Denied JoineryAlreadyJoined")
	})
}

func TestUnreadableGrantsHold(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		broken := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: csr.GrantsName, Namespace: "kube-system"}, Data: map[string]string{"i-1": "{"}}
		if _, err := r.client.CoreV1().ConfigMaps("kube-system").Create(t.Context(), broken, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		r.ask(t, "a", r.instance.PrivateDNSName, time.Minute)
		r.want(t, "a", "")
	})
}
