package report_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/agent/report"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/bubble"
)

type silent struct{}

func (silent) Status(string)        {}
func (silent) Expect(time.Duration) {}

// api is the fake cluster, which does not stream lists as a real one does.
type api struct{ corev1client.CoreV1Interface }

func (api) IsWatchListSemanticsUnSupported() bool { return true }

// source gives holds that a test may change.
type source struct {
	mu    sync.Mutex
	holds report.Holds
	err   error
}

func (s *source) set(h report.Holds, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds, s.err = h, err
}

func (s *source) get(context.Context) (report.Holds, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holds, s.err
}

// world is a running Publisher and the cluster that it talks to.
type world struct {
	t      *testing.T
	client *fake.Clientset
	holds  *source
	stop   func()
}

func start(t *testing.T, client *fake.Clientset) *world {
	return startWith(t, client, &source{})
}

func startWith(t *testing.T, client *fake.Clientset, holds *source) *world {
	w := &world{t: t, client: client, holds: holds}
	ctx, cancel := context.WithCancel(t.Context())
	p := report.New(api{client.CoreV1()}, &join.Guard{Name: "n"}, w.holds.get, silent{}, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, said()) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return w
}

func said() v1alpha1.NodeReport {
	return v1alpha1.NodeReport{InstanceID: "i-0123456789abcdef0", TokenID: "abcdef", Boot: []v1alpha1.BootPhase{{Phase: "join", StartedAt: time.Unix(5, 0), Milliseconds: 7}}}
}

// after lets time pass and returns the condition and the number of writes.
func (w *world) after(d time.Duration) (corev1.NodeCondition, int) {
	w.t.Helper()
	bubble.Sleep(d)
	node, err := w.client.CoreV1().Nodes().Get(w.t.Context(), "n", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	writes := 0
	for _, a := range w.client.Actions() {
		if a.GetVerb() == "patch" && a.GetSubresource() == "status" {
			writes++
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == v1alpha1.ScaleDownReady {
			return c, writes
		}
	}
	return corev1.NodeCondition{}, writes
}

func (w *world) want(reason v1alpha1.ReadyReason, d time.Duration) corev1.NodeCondition {
	w.t.Helper()
	c, _ := w.after(d)
	status := map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionFalse}[reason.Ready()]
	if c.Reason != string(reason) || c.Status != status {
		w.t.Errorf("after %s: got %s %s (%s), want %s %s", d, c.Status, c.Reason, c.Message, status, reason)
	}
	return c
}

func TestEveryChangeIsPublishedWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, fake.NewSimpleClientset(aNode(nil)))
		defer w.stop()
		w.want(v1alpha1.Idle, 2*time.Second)
		if _, err := w.client.CoreV1().Pods("default").Create(t.Context(), pod("a", nil), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		w.want(v1alpha1.PodsRunning, 50*time.Millisecond)
		w.holds.set(report.Holds{Files: []string{"job"}}, nil)
		w.want(v1alpha1.HoldFile, time.Second)
		w.holds.set(report.Holds{}, nil)
		w.want(v1alpha1.PodsRunning, time.Second)
		if err := w.client.CoreV1().Pods("default").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.want(v1alpha1.Idle, 50*time.Millisecond)
		node, err := w.client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(node.Status.Conditions) != 2 {
			t.Errorf("conditions are %+v: the kubelet's must stay", node.Status.Conditions)
		}
		if _, err := w.client.CoreV1().Nodes().UpdateStatus(t.Context(), aNode(notReady), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		w.want(v1alpha1.Joining, 50*time.Millisecond)
	})
}

func TestHeartbeatAndTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, fake.NewSimpleClientset(aNode(nil)))
		defer w.stop()
		first, _ := w.after(2 * time.Second)
		later, writes := w.after(10*time.Minute + time.Second)
		if writes != 11 {
			t.Errorf("%d writes in ten minutes of quiet, want the first and ten heartbeats", writes)
		}
		if !later.LastTransitionTime.Equal(&first.LastTransitionTime) || time.Since(later.LastHeartbeatTime.Time) > report.Heartbeat+2*time.Second {
			t.Errorf("got %+v after %+v", later, first)
		}
		w.holds.set(report.Holds{Files: []string{"job"}}, nil)
		if c := w.want(v1alpha1.HoldFile, 2*time.Second); !c.LastTransitionTime.After(first.LastTransitionTime.Time) {
			t.Errorf("no transition: %+v", c)
		}
	})
}

func TestRestartIsNoTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		then := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
		w := start(t, fake.NewSimpleClientset(aNode(func(n *corev1.Node) {
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: v1alpha1.ScaleDownReady, Status: corev1.ConditionTrue, Reason: "Idle", LastTransitionTime: then})
		})))
		defer w.stop()
		if c := w.want(v1alpha1.Idle, 2*time.Second); !c.LastTransitionTime.Equal(&then) || c.LastHeartbeatTime.IsZero() {
			t.Errorf("got %+v, want the transition of %s", c, then)
		}
	})
}

func TestUnreadableHoldsStayInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, fake.NewSimpleClientset(aNode(nil)))
		defer w.stop()
		w.holds.set(report.Holds{Inhibitors: []string{"backup: writes"}}, nil)
		w.want(v1alpha1.InhibitorHeld, 2*time.Second)
		w.holds.set(report.Holds{}, errors.New("no bus"))
		w.want(v1alpha1.InhibitorHeld, time.Minute)
		w.holds.set(report.Holds{}, nil)
		w.want(v1alpha1.Idle, 2*time.Second)
	})
}

func TestHoldFilesCountWhileLocksAreUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, fake.NewSimpleClientset(aNode(nil)))
		defer w.stop()
		w.want(v1alpha1.Idle, 2*time.Second)
		w.holds.set(report.Holds{Files: []string{"job"}}, errors.New("no bus"))
		w.want(v1alpha1.HoldFile, 2*time.Second)
	})
}

func TestNodeIsHeldUntilHoldsWereRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWith(t, fake.NewSimpleClientset(aNode(nil)), &source{err: errors.New("no bus")})
		defer w.stop()
		w.want(v1alpha1.InhibitorHeld, time.Minute)
		w.holds.set(report.Holds{}, nil)
		w.want(v1alpha1.Idle, 2*time.Second)
	})
}

func TestFailedWriteIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewSimpleClientset(aNode(nil))
		left := 5
		client.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
			left--
			return left >= 0, nil, errors.New("etcd is slow")
		})
		w := start(t, client)
		defer w.stop()
		w.want(v1alpha1.Idle, 10*time.Second)
	})
}

func TestNodeReportIsWrittenOncePerNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, fake.NewSimpleClientset(aNode(nil)))
		defer w.stop()
		w.after(10 * time.Minute)
		node, err := w.client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := v1alpha1.DecodeNodeReport([]byte(node.Annotations[v1alpha1.NodeReportAnnotation]))
		if err != nil || got.InstanceID != said().InstanceID || got.TokenID != "abcdef" || len(got.Boot) != 1 || got.ReportedAt.IsZero() {
			t.Errorf("got %+v, %v", got, err)
		}
		w.holds.set(report.Holds{Files: []string{"job"}}, nil)
		w.after(2 * time.Second)
		writes := 0
		for _, a := range w.client.Actions() {
			if p, ok := a.(clienttesting.PatchAction); ok && strings.Contains(string(p.GetPatch()), "annotations") {
				writes++
			}
		}
		if writes != 2 {
			t.Errorf("%d writes of the annotation, want one at first and one for the hold", writes)
		}
	})
}

func TestFirstNeedsTheNode(t *testing.T) {
	client := fake.NewSimpleClientset()
	p := report.New(api{client.CoreV1()}, &join.Guard{Name: "n"}, (&source{}).get, silent{}, slog.New(slog.DiscardHandler))
	if err := p.First(t.Context(), said()); err == nil {
		t.Error("reported about a node that is not there")
	}
}
