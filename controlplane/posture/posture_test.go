package posture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/controlplane/posture"
	"github.com/joinery/joinery/lab/bubble"
)

// grant is a right that a binding gives a group.
type grant struct{ binding, group, right string }

var (
	bootstrap = grant{posture.KubeadmBootstrap, "system:bootstrappers:kubeadm:default-node-token", "nodeclient"}
	rotation  = grant{posture.KubeadmRotation, "system:nodes", "selfnodeclient"}
	sample    = grant{"auto-approve-csrs-for-group", "system:bootstrappers", "nodeclient"}
)

// authorizer answers as the RBAC authorizer does, and only what
// kube-controller-manager would ask.
func authorizer(t *testing.T, client *fake.Clientset, grants func() []grant) {
	client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		sar := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		r := sar.Spec.ResourceAttributes
		if r == nil || r.Verb != "create" || r.Group != "certificates.k8s.io" || r.Resource != "certificatesigningrequests" || r.Version != "*" {
			t.Errorf("asked something else than kube-controller-manager: %+v", r)
			return true, sar, nil
		}
		for _, g := range grants() {
			if g.right == r.Subresource && slices.Contains(sar.Spec.Groups, g.group) {
				sar.Status.Allowed = true
				sar.Status.Reason = fmt.Sprintf("RBAC: allowed by ClusterRoleBinding %q of ClusterRole %q to Group %q", g.binding, "system:certificates.k8s.io:…:"+g.right, g.group)
				return true, sar, nil
			}
		}
		return true, sar, nil
	})
}

func TestAskFindsWhatIsApprovedUnseen(t *testing.T) {
	for _, tt := range []struct {
		name   string
		grants []grant
		// want has requester, right, binding and whether that is unsafe.
		want []string
	}{
		{"nothing is bound", nil, nil},
		{"kubeadm's defaults", []grant{bootstrap, rotation}, []string{
			"a token of kubeadm's default group nodeclient kubeadm:node-autoapprove-bootstrap true",
			"a node selfnodeclient kubeadm:node-autoapprove-certificate-rotation true",
		}},
		{"the sample of the Kubernetes documentation", []grant{sample}, []string{
			"a bootstrap token of Joinery nodeclient auto-approve-csrs-for-group true",
			"a token for old user data nodeclient auto-approve-csrs-for-group true",
			"a token of kubeadm's default group nodeclient auto-approve-csrs-for-group true",
			"any bootstrap token nodeclient auto-approve-csrs-for-group true",
		}},
		{"Joinery's own group", []grant{{"a", "system:bootstrappers:joinery:node", "nodeclient"}}, []string{"a bootstrap token of Joinery nodeclient a true"}},
		{"the group for old user data", []grant{{"a", "system:bootstrappers:joinery:legacy", "nodeclient"}}, []string{"a token for old user data nodeclient a true"}},
		{"nodes for other nodes", []grant{{"a", "system:nodes", "nodeclient"}}, []string{"a node nodeclient a true"}},
		{"nobody at all", []grant{{"a", "system:unauthenticated", "nodeclient"}}, []string{"an anonymous requester nodeclient a true"}},
		{"a renewal of what it has not", []grant{{"a", "system:bootstrappers:joinery:node", "selfnodeclient"}}, []string{"a bootstrap token of Joinery selfnodeclient a false"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset()
			authorizer(t, client, func() []grant { return tt.grants })
			found, err := posture.Ask(t.Context(), client.AuthorizationV1().SubjectAccessReviews())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range found {
				got = append(got, fmt.Sprint(a.Requester.Name, " ", a.Right, " ", a.Binding, " ", a.Unsafe()))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestMendNamesTheCommand(t *testing.T) {
	node := posture.Requester{Name: "a node", User: "system:node:x", Groups: []string{"system:nodes"}}
	for binding, want := range map[string]string{
		posture.KubeadmBootstrap: "kubectl delete clusterrolebinding kubeadm:node-autoapprove-bootstrap",
		posture.KubeadmRotation:  "kubectl delete clusterrolebinding kubeadm:node-autoapprove-certificate-rotation",
		// Deleting it could take everybody's rights.
		"cluster-admin": "kubectl edit clusterrolebinding cluster-admin",
		"":              "kubectl auth can-i create certificatesigningrequests.certificates.k8s.io --subresource=nodeclient --as=system:node:x --as-group=system:nodes -v=8",
	} {
		if got := (posture.Approval{Requester: node, Right: posture.NodeClient, Binding: binding}).Mend(); got != want {
			t.Errorf("%q: got %q, want %q", binding, got, want)
		}
	}
}

// watching runs a Watch in a bubble and returns what came out of it.
type watching struct {
	client *fake.Clientset
	away   atomic.Bool
	events *record.FakeRecorder
	reg    *prometheus.Registry
	asked  atomic.Int32

	mu     sync.Mutex
	grants []grant
	log    bytes.Buffer
}

// Write is for the log.
func (w *watching) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *watching) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *watching) granted() []grant {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grants
}

func (w *watching) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.grants = nil
}

func (w *watching) start(t *testing.T) (stop func()) {
	w.client, w.events, w.reg = fake.NewClientset(), record.NewFakeRecorder(100), prometheus.NewRegistry()
	w.events.IncludeObject = true
	authorizer(t, w.client, w.granted)
	w.client.PrependReactor("create", "subjectaccessreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return w.away.Load(), nil, errors.New("connection refused")
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	watch := &posture.Watch{
		Reviews: w.client.AuthorizationV1().SubjectAccessReviews(), Events: w.events,
		About:   &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "joinery-controller"}},
		Metrics: posture.NewMetrics(w.reg), Log: slog.New(slog.NewTextHandler(w, nil)), Asked: func() { w.asked.Add(1) },
	}
	go func() { done <- watch.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	}
}

func (w *watching) shown(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	all, err := w.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "joinery_unsafe_auto_approval" {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					out.WriteString(l.GetValue() + ";")
				}
			}
		}
	}
	return out.String()
}

func TestWatchSaysItLoudlyUntilItIsMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watching{grants: []grant{bootstrap, {"own", "system:bootstrappers:joinery:node", "selfnodeclient"}}}
		stop := w.start(t)
		synctest.Wait()
		const command = "kubectl delete clusterrolebinding kubeadm:node-autoapprove-bootstrap"
		if len(w.events.Events) != 1 {
			t.Fatalf("%d events: expected one, for the unsafe right", len(w.events.Events))
		}
		if e := <-w.events.Events; !strings.HasPrefix(e, "Warning UnsafeAutoApproval ") || !strings.Contains(e, command) || !strings.Contains(e, "any node, masters included") {
			t.Errorf("event %q", e)
		}
		if text := w.logged(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, command) {
			t.Errorf("log %q", text)
		}
		if got, want := w.shown(t), "kubeadm:node-autoapprove-bootstrap;a token of kubeadm's default group;nodeclient;"; got != want {
			t.Errorf("metric %q, want %q", got, want)
		}
		bubble.Sleep(posture.Every + time.Second)
		if len(w.events.Events) != 1 {
			t.Error("it is not said again")
		}
		w.mend()
		bubble.Sleep(posture.Every)
		if got := w.shown(t); got != "" {
			t.Errorf("metric after it was mended: %q", got)
		}
		if w.asked.Load() != 3 {
			t.Errorf("%d rounds reported, want 3", w.asked.Load())
		}
		stop()
	})
}

func TestWatchAsksAgainSoonAfterNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watching{grants: []grant{rotation}}
		w.away.Store(true)
		stop := w.start(t)
		synctest.Wait()
		if w.asked.Load() != 0 || !strings.Contains(w.logged(), "connection refused") {
			t.Errorf("no answer counts as one, or is not logged: %s", w.logged())
		}
		w.away.Store(false)
		bubble.Sleep(time.Minute + time.Second)
		if w.shown(t) == "" || w.asked.Load() != 1 {
			t.Error("not asked again within a minute")
		}
		stop()
		if got := w.shown(t); got != "" {
			t.Errorf("a former leader still shows %q", got)
		}
	})
}
