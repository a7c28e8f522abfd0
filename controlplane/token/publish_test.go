package token_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/internal/wait"
	"github.com/joinery/joinery/lab/bubble"
)

// scripted is a world in which something happens at each call of the store.
type scripted struct {
	*world
	get func(n int) // before the nth Get
	put func(context.Context)
	n   int
}

func (s *scripted) Get(ctx context.Context) (bundle.Stored, error) {
	if s.n++; s.get != nil {
		s.get(s.n)
	}
	return s.world.Get(ctx)
}

func (s *scripted) Put(ctx context.Context, b *v1alpha1.JoinBundle) (int64, error) {
	if s.put != nil {
		s.put(ctx)
	}
	return s.world.Put(ctx, b)
}

func scriptedRotator(t *testing.T, s *scripted, client *fake.Clientset, confirm func(context.Context) error) *token.Rotator {
	return token.NewRotator("demo", token.Deps{
		Secrets: client.CoreV1().Secrets(metav1.NamespaceSystem), Store: s, Source: s, Observer: s, Confirm: confirm, Log: slog.New(slog.DiscardHandler),
	}, options(t))
}

func TestWhoDoesNotLeadChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, client := &world{}, fake.NewClientset()
		var lost error
		r := scriptedRotator(t, &scripted{world: w}, client, func(context.Context) error { return lost })
		for range 2 {
			if _, err := r.Reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			bubble.Sleep(time.Hour)
		}
		lost = leader.ErrLost
		before := secretNames(t, client)
		if _, err := r.Reconcile(t.Context()); !errors.Is(err, leader.ErrLost) { // due, and the first token is to go
			t.Errorf("got %v", err)
		}
		if after := secretNames(t, client); !slices.Equal(before, after) || w.puts != 2 {
			t.Errorf("%d writes, secrets %v: expected %v", w.puts, after, before)
		}
	})
}

func TestPublishHappensWithinSecondsOfTheProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var proved time.Time
		var left time.Duration
		s := &scripted{world: &world{}, put: func(ctx context.Context) {
			deadline, ok := ctx.Deadline()
			if left = deadline.Sub(proved); !ok {
				t.Error("no deadline")
			}
		}}
		// The proof takes 3 s of the time that there is.
		r := scriptedRotator(t, s, fake.NewClientset(), func(ctx context.Context) error {
			proved = time.Now()
			return wait.For(ctx, 3*time.Second)
		})
		if _, err := r.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left <= 0 || left > 5*time.Second {
			t.Errorf("what is published may be sent until %s after the proof", left)
		}
	})
}

// SSM may take seconds for each answer. What bounds a write is when it is sent, from the
// last proof on.
func TestSlowLookIsFollowedByAnotherProof(t *testing.T) {
	for _, slow := range []time.Duration{3 * time.Second, 9 * time.Second, 15 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var proved time.Time
			s := &scripted{world: &world{}, get: func(int) { bubble.Sleep(slow) }, put: func(ctx context.Context) {
				deadline, ok := ctx.Deadline()
				if !ok || time.Since(proved) > time.Second || deadline.Sub(proved) > 5*time.Second || ctx.Err() != nil {
					t.Errorf("%s an answer: sent %s after the proof, by %s after it: %v", slow, time.Since(proved), deadline.Sub(proved), ctx.Err())
				}
			}}
			r := scriptedRotator(t, s, fake.NewClientset(), func(context.Context) error { proved = time.Now(); return nil })
			if _, err := r.Reconcile(t.Context()); err != nil || s.puts != 1 {
				t.Errorf("%s an answer: %d writes, %v", slow, s.puts, err)
			}
		})
	}
}

func TestNothingOlderReplacesWhatCameMeanwhile(t *testing.T) {
	s, client := &scripted{world: &world{}}, fake.NewClientset()
	r := scriptedRotator(t, s, client, nil)
	newer := facts.Bundle("zzzzzz.0123456789abcdef", time.Now().UTC().Add(time.Minute), time.Now().UTC().Add(time.Hour))
	s.get = func(n int) {
		if n == 2 { // the look right before the write
			s.set(func(w *world) { w.published, w.puts = newer, 1 })
		}
	}
	var found *token.NewerError
	if _, err := r.Reconcile(t.Context()); !errors.As(err, &found) || !found.Found.Equal(newer.IssuedAt) {
		t.Fatalf("got %v", err)
	}
	if s.bundle() != newer {
		t.Error("it was replaced")
	}
	// It has no Secret, so the next round replaces it, by a newer one.
	if _, err := r.Reconcile(t.Context()); err != nil || !s.bundle().IssuedAt.After(newer.IssuedAt) {
		t.Errorf("then %v: published %s", err, s.bundle().IssuedAt)
	}
}

func TestAWriteInBetweenIsNoticed(t *testing.T) {
	s := &scripted{world: &world{}}
	s.put = func(context.Context) { s.set(func(w *world) { w.puts++ }) }
	if _, err := scriptedRotator(t, s, fake.NewClientset(), nil).Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	var concurrent *token.ConcurrentWriteError
	if len(s.troubles) != 1 || !errors.As(s.troubles[0], &concurrent) || *concurrent != (token.ConcurrentWriteError{Before: 0, After: 2}) {
		t.Errorf("troubles %v", s.troubles)
	}
}

func TestWhatCannotBePublishedMakesNoToken(t *testing.T) {
	size := &v1alpha1.BundleSizeError{Bytes: 5000, CABytes: 4500, CACerts: 3}
	w, client := &world{unfit: size}, fake.NewClientset()
	_, err := rotator(t, w, client).Reconcile(t.Context())
	var got *v1alpha1.BundleSizeError
	if !errors.As(err, &got) || w.puts != 0 || len(secretNames(t, client)) != 0 {
		t.Errorf("%v: %d writes, secrets %v", err, w.puts, secretNames(t, client))
	}
}

// An API server may repeat in its error what it refuses, in whatever form.
func TestARefusedSecretIsNotRepeated(t *testing.T) {
	client := fake.NewClientset()
	var half []byte
	client.PrependReactor("create", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		half = a.(clienttesting.CreateAction).GetObject().(*corev1.Secret).Data["token-secret"]
		return true, nil, fmt.Errorf("invalid value %s, or %s", half, base64.StdEncoding.EncodeToString(half))
	})
	_, err := rotator(t, &world{}, client).Reconcile(t.Context())
	if err == nil || len(half) == 0 || strings.Contains(err.Error(), string(half)) || strings.Count(err.Error(), "[redacted]") != 2 {
		t.Errorf("got %v", err)
	}
}

// A new CA or endpoint reaches nodes with the token that they have: nothing that
// was read before stops to work for it.
func TestNewFactsArePublishedWithTheSameToken(t *testing.T) {
	w, client := &world{}, fake.NewClientset()
	if _, err := rotator(t, w, client).Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := w.bundle()
	r := token.NewRotator("demo", token.Deps{
		Secrets: client.CoreV1().Secrets(metav1.NamespaceSystem), Store: w, Source: moved{}, Observer: w, Log: slog.New(slog.DiscardHandler),
	}, options(t))
	round, err := r.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := w.bundle()
	if now.Endpoint != "10.0.0.9:6443" || now.Token.Reveal() != first.Token.Reveal() || !now.IssuedAt.Equal(first.IssuedAt) || !now.ExpiresAt.Equal(first.ExpiresAt) {
		t.Errorf("published %+v after %+v", now, first)
	}
	if round.TokenID != first.TokenID() || len(secretNames(t, client)) != 1 {
		t.Errorf("round %+v, secrets %v", round, secretNames(t, client))
	}
}

// moved is a cluster whose endpoint is another one now.
type moved struct{}

func (moved) Cluster(context.Context) (bundle.Cluster, error) {
	c := facts
	c.Endpoint = "10.0.0.9:6443"
	return c, nil
}

func TestARequestIsMetOnce(t *testing.T) {
	w, client := &world{}, fake.NewClientset()
	r := rotator(t, w, client)
	if _, err := r.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, err := r.Reconcile(t.Context(), "one", "two")
	if err != nil {
		t.Fatal(err)
	}
	// Another leader, who does not know that it was answered.
	again, err := rotator(t, w, client).Reconcile(t.Context(), "two", "one")
	if err != nil || again.TokenID != first.TokenID || !slices.Equal(w.seen(), []token.Reason{token.Start, token.OnDemand}) {
		t.Errorf("%s, then %s, %v: rotations %v", first.TokenID, again.TokenID, err, w.seen())
	}
}

func TestTroubleIsCountedByKindAndToldWhenSomebodyMustAct(t *testing.T) {
	for _, test := range []struct {
		err         error
		kind, event string
	}{
		{&bundle.NotOursError{Parameter: "/p"}, "not-ours", "ForeignJoinBundle"},
		{&v1alpha1.BundleSizeError{Bytes: 5000}, "too-large", "JoinBundleTooLarge"},
		{&v1alpha1.InvalidError{Kind: "JoinBundle"}, "invalid", "JoinBundleInvalid"},
		{bundle.ErrNoEndpoint, "no-endpoint", "JoinBundleInvalid"},
		{leader.ErrLost, "lease-lost", ""},
		{&token.NewerError{}, "newer", ""},
		{&token.ConcurrentWriteError{}, "concurrent-write", ""},
		{&bundle.LateError{}, "late", ""},
		{errors.New("else"), "error", ""},
	} {
		reg, told := prometheus.NewRegistry(), ""
		m := token.NewMetrics(reg, token.Join, func(reason string, _ error) { told = reason })
		m.Trouble(fmt.Errorf("rotate token (Start): %w", test.err))
		want := "joinery_token_failures_total{kind=" + test.kind + ",purpose=join}"
		if got := samples(t, reg); got[want] != 1 || told != test.event {
			t.Errorf("%v: event %q, expected %q; metrics %v", test.err, told, test.event, got)
		}
	}
}

// samples are the values of counters and gauges by name and labels.
func samples(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			out[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

func TestBothPurposesHaveMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	issued := time.Unix(1000, 0)
	for _, p := range []token.Purpose{token.Join, token.Legacy} {
		token.NewMetrics(reg, p, nil).Published(issued, issued.Add(time.Hour))
	}
	got := samples(t, reg)
	for _, purpose := range []string{"join", "legacy"} {
		if got["joinery_token_issued_timestamp_seconds{purpose="+purpose+"}"] != 1000 || got["joinery_token_expiry_timestamp_seconds{purpose="+purpose+"}"] != 4600 {
			t.Errorf("%s: %v", purpose, got)
		}
	}
}
