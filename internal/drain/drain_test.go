package drain_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/kube"
)

// rig is an API server in memory whose evictions answer as answers says for a pod, and
// otherwise delete it.
type rig struct {
	*testing.T
	client  *fake.Clientset
	mu      sync.Mutex // guards answers, which a test changes while it drains
	answers map[string]error
	asked   []string
	counts  map[drain.Result]int
	told    []string
}

func newRig(t *testing.T, objects ...runtime.Object) *rig {
	r := &rig{T: t, client: fake.NewClientset(objects...), answers: map[string]error{}, counts: map[drain.Result]int{}}
	r.client.PrependReactor("create", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		e, ok := a.(clienttesting.CreateAction).GetObject().(*policyv1.Eviction)
		if !ok {
			return false, nil, nil
		}
		if e.DeleteOptions.Preconditions.UID == nil || *e.DeleteOptions.Preconditions.UID != types.UID("uid-"+e.Name) {
			t.Errorf("eviction of %s without its UID: %+v", e.Name, e.DeleteOptions)
		}
		r.asked = append(r.asked, e.Name)
		r.mu.Lock()
		refusal := r.answers[e.Name]
		r.mu.Unlock()
		if refusal != nil {
			return true, nil, refusal
		}
		return true, nil, r.client.Tracker().Delete(a.GetResource(), e.Namespace, e.Name)
	})
	return r
}

func (r *rig) evictor(stop bool) *drain.Evictor {
	return drain.NewEvictor(drain.Options{
		Client: r.client, StopAtFailure: stop, Count: func(result drain.Result) { r.counts[result]++ },
		Accepted: func(p *corev1.Pod) { r.told = append(r.told, p.Name) },
	})
}

func pod(name string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name)}}
	p.Spec.NodeName = "n"
	for _, e := range edits {
		e(p)
	}
	return p
}

func nothing([]*corev1.Pod) error { return nil }

var (
	budget    = apierrors.NewTooManyRequests("the disruption budget", 1)
	forbidden = apierrors.NewForbidden(corev1.Resource("pods"), "x", errors.New("no"))
)

func TestLeftIsWhatNeedsEviction(t *testing.T) {
	r := newRig(t, pod("app"), pod("elsewhere", func(p *corev1.Pod) { p.Spec.NodeName = "m" }),
		pod("logs", func(p *corev1.Pod) { p.Annotations = map[string]string{kube.DaemonSetPodAnnotation: "true"} }),
		pod("job", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }))
	left, err := drain.Left(t.Context(), r.client, "n")
	if err != nil || len(left) != 1 || left[0].Name != "app" {
		t.Errorf("got %v, %v", left, err)
	}
}

func TestARefusalIsKeptAndAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pod("a"), pod("b"))
		r.answers["a"] = budget
		e := r.evictor(true)
		time.AfterFunc(12*time.Second, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.answers, "a")
		})
		if err := e.Empty(t.Context(), "n", time.Minute, nothing); err != nil {
			t.Fatal(err)
		}
		// At 0, 5, 10 and 15 s; and b once.
		if got, want := strings.Join(r.asked, " "), "a b a a a"; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
		if r.counts[drain.Refused] != 3 || r.counts[drain.Accepted] != 2 || !slices.Equal(r.told, []string{"b", "a"}) {
			t.Errorf("counts %v, told %v", r.counts, r.told)
		}
	})
}

func TestEmptyEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pod("a"))
		r.answers["a"] = budget
		err := r.evictor(true).Empty(t.Context(), "n", 10*time.Second, nothing)
		var late *drain.TimeoutError
		if !errors.As(err, &late) || late.Left != 1 || !apierrors.IsTooManyRequests(late.Refusals[0]) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.evictor(true).Empty(ctx, "n", time.Minute, nothing); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &late) {
			t.Errorf("an end of the caller: got %v", err)
		}
	})
}

func TestEmptyAsksItsCaller(t *testing.T) {
	r := newRig(t, pod("a"))
	unplanned := errors.New("unplanned")
	err := r.evictor(true).Empty(t.Context(), "n", time.Minute, func(pods []*corev1.Pod) error {
		return fmt.Errorf("%d pods: %w", len(pods), unplanned)
	})
	if !errors.Is(err, unplanned) || len(r.asked) > 0 {
		t.Errorf("got %v after asking for %v", err, r.asked)
	}
}

func TestAFailureStopsOnlyWhereADrainIsTakenBack(t *testing.T) {
	for stop, want := range map[bool]string{true: "a", false: "a b"} {
		r := newRig(t)
		r.answers["a"], r.answers["b"] = forbidden, apierrors.NewNotFound(corev1.Resource("pods"), "b")
		err := r.evictor(stop).Evict(t.Context(), []*corev1.Pod{pod("a"), pod("b"), pod("t", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} })})
		if got := strings.Join(r.asked, " "); !apierrors.IsForbidden(err) || got != want {
			t.Errorf("stop %t: got %v after asking for %s, want %s", stop, err, got, want)
		}
	}
}

func node(edits ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u"}}
	n.Spec.Taints = []corev1.Taint{{Key: "dedicated"}}
	for _, e := range edits {
		e(n)
	}
	return n
}

func (r *rig) node() *corev1.Node {
	r.Helper()
	n, err := r.client.CoreV1().Nodes().Get(r.Context(), "n", metav1.GetOptions{})
	if err != nil {
		r.Fatal(err)
	}
	return n
}

func TestMarkAndUnmark(t *testing.T) {
	for name, cordoned := range map[string]bool{"free": false, "cordoned by an operator": true} {
		r := newRig(t, node(func(n *corev1.Node) { n.Spec.Unschedulable = cordoned }))
		for range 2 { // a mark is set once
			if err := drain.Mark(t.Context(), r.client, "n", "u", true); err != nil {
				t.Fatal(err)
			}
		}
		n := r.node()
		_, ours := n.Annotations[kube.CordonedAnnotation]
		if !kube.Marked(n) || len(n.Spec.Taints) != 2 || !n.Spec.Unschedulable || n.Annotations[kube.DrainingAnnotation] == "" || ours == cordoned {
			t.Errorf("%s: marked: %+v, %v", name, n.Spec, n.Annotations)
		}
		if err := drain.Unmark(t.Context(), r.client, "n", "u"); err != nil {
			t.Fatal(err)
		}
		if n = r.node(); len(n.Spec.Taints) != 1 || n.Spec.Unschedulable != cordoned || len(n.Annotations) > 0 {
			t.Errorf("%s: unmarked: %+v, %v", name, n.Spec, n.Annotations)
		}
	}
}

func TestOwn(t *testing.T) {
	tainted := func(n *corev1.Node) {
		n.Spec.Taints, n.Spec.Unschedulable = []corev1.Taint{{Key: kube.ToBeDeletedTaint}}, true
	}
	for name, tt := range map[string]struct {
		change func(*corev1.Node)
		want   bool
	}{
		"another autoscaler's": {func(n *corev1.Node) { n.Annotations = map[string]string{kube.ScaleDownDisabledAnnotation: "true"} }, false},
		"cordoned by us":       {func(n *corev1.Node) { n.Annotations = map[string]string{kube.CordonedAnnotation: "true"} }, true},
		"drained by us":        {func(n *corev1.Node) { n.Annotations = map[string]string{kube.DrainingAnnotation: "1"} }, true},
		"unneeded before":      {func(n *corev1.Node) { n.Labels = map[string]string{v1alpha1.UnneededSinceLabel: "1"} }, true},
	} {
		if got := drain.Own(node(tainted, tt.change)); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestAnotherNodeIsLeftAlone(t *testing.T) {
	r := newRig(t, node())
	var other *drain.OtherNodeError
	if err := drain.Mark(t.Context(), r.client, "n", "earlier", false); !errors.As(err, &other) {
		t.Errorf("mark: got %v", err)
	}
	if err := drain.Unmark(t.Context(), r.client, "n", "earlier"); !errors.As(err, &other) {
		t.Errorf("unmark: got %v", err)
	}
	if err := drain.Mark(t.Context(), r.client, "gone", "u", false); !apierrors.IsNotFound(err) {
		t.Errorf("no Node: got %v", err)
	}
	if n := r.node(); kube.Marked(n) || n.Spec.Unschedulable {
		t.Errorf("touched: %+v", n.Spec)
	}
}
