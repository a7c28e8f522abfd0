package rotation_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/rotation"
	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/lab/bubble"
)

// rotator makes one token for each id, as token.Rotator does.
type rotator struct {
	mu    sync.Mutex
	fails []error // the next answers
	made  []string
	calls int
	hook  func() // at the end of a round that succeeded
}

func (r *rotator) Reconcile(_ context.Context, requests ...string) (token.Round, error) {
	r.mu.Lock()
	r.calls++
	if len(r.fails) > 0 {
		err := r.fails[0]
		r.fails = r.fails[1:]
		r.mu.Unlock()
		return token.Round{}, err
	}
	for _, id := range requests {
		if !slices.Contains(r.made, id) {
			r.made = append(r.made, id)
		}
	}
	hook := r.hook
	r.mu.Unlock()
	if hook != nil {
		hook()
	}
	return token.Round{TokenID: "abcdef", ExpiresAt: time.Now().Add(3 * time.Hour)}, nil
}

func (r *rotator) tokens() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.made)
}

// serve runs a desk until stop is called.
func serve(t *testing.T, client kubernetes.Interface, r *rotator, confirm func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	desk := &rotation.Desk{Client: client, Rotator: r, Confirm: confirm, Log: slog.New(slog.DiscardHandler)}
	go func() { done <- desk.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		<-done
	}
}

func ask(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	id, err := rotation.Ask(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAskAndAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, r := fake.NewClientset(), &rotator{}
		defer serve(t, client, r, nil)()
		for range 2 { // the first makes the ConfigMap
			id := ask(t, client)
			a, err := rotation.Await(t.Context(), client, id)
			if err != nil || a.TokenID != "abcdef" || time.Until(a.ExpiresAt) < 2*time.Hour || time.Since(a.At) > time.Minute {
				t.Errorf("%+v, %v", a, err)
			}
			if made := r.tokens(); made[len(made)-1] != id {
				t.Errorf("tokens for %v", made)
			}
		}
		bubble.Sleep(time.Minute)
		if r.calls != 2 {
			t.Errorf("%d rounds for two requests", r.calls)
		}
	})
}

func TestATransientFailureIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, r := fake.NewClientset(), &rotator{fails: []error{errors.New("throttled"), errors.New("throttled")}}
		defer serve(t, client, r, nil)()
		if _, err := rotation.Await(t.Context(), client, ask(t, client)); err != nil {
			t.Error(err)
		}
	})
}

func TestProblemsAreReported(t *testing.T) {
	size := &v1alpha1.BundleSizeError{Bytes: 5000, CABytes: 4500, CACerts: 3}
	for _, test := range []struct {
		name  string
		fails []error
		text  string
		most  time.Duration
	}{
		{"at once when only somebody can mend it", []error{size}, "5000 bytes", 2 * time.Second},
		{"after a minute of an outage", slices.Repeat([]error{errors.New("SSM is away")}, 1000), "SSM is away", 65 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, r := fake.NewClientset(), &rotator{fails: test.fails}
				defer serve(t, client, r, nil)()
				began, id := time.Now(), ask(t, client)
				_, err := rotation.Await(t.Context(), client, id)
				var problem *rotation.ProblemError
				if !errors.As(err, &problem) || problem.ID != id || !strings.Contains(problem.Problem, test.text) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took > test.most {
					t.Errorf("told after %s", took)
				}
			})
		})
	}
}

// A leader dies after it rotated and before it answered: its successor answers,
// with the token that there is.
func TestARequestOutlivesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, r := fake.NewClientset(), &rotator{}
		ctx, kill := context.WithCancel(t.Context())
		stuck := &rotator{hook: func() { <-ctx.Done() }}
		desk := &rotation.Desk{Client: client, Rotator: stuck, Log: slog.New(slog.DiscardHandler)}
		done := make(chan error, 1)
		go func() { done <- desk.Run(ctx) }()
		synctest.Wait()
		id := ask(t, client)
		synctest.Wait()
		if made := stuck.tokens(); !slices.Equal(made, []string{id}) {
			t.Fatalf("tokens for %v", made)
		}
		client.PrependReactor("update", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
			return ctx.Err() != nil && len(r.tokens()) == 0, nil, errors.New("a dead process writes nothing")
		})
		kill()
		<-done
		r.made = stuck.tokens() // which is in the cluster
		defer serve(t, client, r, nil)()
		if a, err := rotation.Await(t.Context(), client, id); err != nil || a.TokenID == "" {
			t.Errorf("%+v, %v", a, err)
		}
		if made := r.tokens(); !slices.Equal(made, []string{id}) {
			t.Errorf("tokens for %v", made)
		}
	})
}

// Who no longer leads leaves a request that he could not meet to who does.
func TestOnlyALeaderGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		stop := serve(t, client, &rotator{fails: slices.Repeat([]error{&v1alpha1.BundleSizeError{}}, 1000)},
			func(context.Context) error { return leader.ErrLost })
		id := ask(t, client)
		bubble.Sleep(time.Minute)
		stop()
		defer serve(t, client, &rotator{}, nil)()
		if _, err := rotation.Await(t.Context(), client, id); err != nil {
			t.Error(err)
		}
	})
}

func TestAnswersAreWrittenOverConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conflicts := fake.NewClientset(), 2
		client.PrependReactor("update", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
			conflicts--
			return conflicts >= 0, nil, apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, rotation.ConfigMapName, nil)
		})
		defer serve(t, client, &rotator{}, nil)()
		first, second := ask(t, client), ask(t, client)
		for _, id := range []string{first, second} {
			if _, err := rotation.Await(t.Context(), client, id); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAwaitEndsWithItsContextAndForWhatIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		if _, err := rotation.Await(t.Context(), client, "never-asked"); !errors.Is(err, rotation.ErrUnknown) {
			t.Errorf("unknown: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := rotation.Await(ctx, client, ask(t, client)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no controller: %v", err)
		}
	})
}

func TestEntriesOfOthersAreLeftAloneAndOldAnswersForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: rotation.ConfigMapName},
			Data: map[string]string{"request.a,b": "x", "note": "by hand"}})
		r := &rotator{}
		defer serve(t, client, r, nil)()
		old := ask(t, client)
		if _, err := rotation.Await(t.Context(), client, old); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(2 * time.Hour)
		recent := ask(t, client)
		if _, err := rotation.Await(t.Context(), client, recent); err != nil {
			t.Fatal(err)
		}
		cm, err := client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), rotation.ConfigMapName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"answer." + recent, "note", "request." + recent, "request.a,b"}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(cm.Data)); !slices.Equal(got, want) {
			t.Errorf("entries %q: expected %q", got, want)
		}
		if made := r.tokens(); !slices.Equal(made, []string{old, recent}) {
			t.Errorf("tokens for %v", made)
		}
		if _, err := rotation.Await(t.Context(), client, old); !errors.Is(err, rotation.ErrUnknown) {
			t.Errorf("forgotten: %v", err)
		}
	})
}
