package token_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/lab/bubble"
)

func rotator(t *testing.T, w *world, client *fake.Clientset) *token.Rotator {
	t.Helper()
	return token.NewRotator("demo", token.Deps{
		Secrets: client.CoreV1().Secrets(metav1.NamespaceSystem), Store: w, Source: w, Observer: w, Log: slog.New(slog.DiscardHandler),
	}, options(t))
}

func secretNames(t *testing.T, client *fake.Clientset) []string {
	t.Helper()
	list, err := client.CoreV1().Secrets(metav1.NamespaceSystem).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range list.Items {
		out = append(out, s.Name)
	}
	return out
}

// run runs the rotator in the bubble and returns what stops it.
func run(t *testing.T, r *token.Rotator) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	}
}

func TestSecretIsWorthARequestOnly(t *testing.T) {
	w, client := &world{}, fake.NewClientset()
	if _, err := rotator(t, w, client).Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := client.CoreV1().Secrets(metav1.NamespaceSystem).Get(t.Context(), "bootstrap-token-"+w.id(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Type != corev1.SecretTypeBootstrapToken || s.Labels[v1alpha1.ClusterLabel] != "demo" {
		t.Errorf("type %q, labels %v", s.Type, s.Labels)
	}
	want := map[string]string{
		"token-id": w.id(), "token-secret": w.bundle().Token.Reveal()[7:], "usage-bootstrap-authentication": "true",
		"auth-extra-groups": "system:bootstrappers:joinery:node", "expiration": w.bundle().ExpiresAt.Format(time.RFC3339),
	}
	for k, v := range want {
		if string(s.Data[k]) != v {
			t.Errorf("%s: %q: expected %q", k, s.Data[k], v)
		}
	}
	if len(s.Data) != len(want)+1 || len(s.Data["description"]) == 0 {
		t.Errorf("data has %d keys: expected a description and no usage beyond authentication", len(s.Data))
	}
}

func TestRotatesByScheduleAndSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, client := &world{}, fake.NewClientset()
		stop := run(t, rotator(t, w, client))
		first := w.id()
		bubble.Sleep(time.Hour + time.Second) // the bubble starts on the hour
		if got := w.seen(); !slices.Equal(got, []token.Reason{token.Start, token.Scheduled}) {
			t.Fatalf("rotations %v", got)
		}
		if names := secretNames(t, client); len(names) != 2 {
			t.Errorf("secrets %v: expected the previous one to be kept for nodes that boot", names)
		}
		bubble.Sleep(30 * time.Minute)
		if names := secretNames(t, client); !slices.Equal(names, []string{"bootstrap-token-" + w.id()}) {
			t.Errorf("secrets %v: expected the published one alone", names)
		}
		if !slices.Equal(w.deleted, []string{first}) {
			t.Errorf("deleted %v: expected %s", w.deleted, first)
		}
		stop()
	})
}

func TestRotatesWhenItsSecretIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, client := &world{}, fake.NewClientset()
		r := rotator(t, w, client)
		stop := run(t, r)
		ctx, cancel := context.WithCancel(t.Context())
		watching := make(chan error, 1)
		go func() { watching <- token.Watch(ctx, client, r.Wake, token.Join) }()
		synctest.Wait()
		if err := client.CoreV1().Secrets(metav1.NamespaceSystem).Delete(t.Context(), "bootstrap-token-"+w.id(), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := w.seen(); !slices.Equal(got, []token.Reason{token.Start, token.Missing}) {
			t.Errorf("rotations %v", got)
		}
		cancel()
		<-watching
		stop()
	})
}

func TestRequestOutlivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, client := &world{}, fake.NewClientset()
		r := rotator(t, w, client)
		stop := run(t, r)
		w.set(func(w *world) { w.fail = errors.New("SSM is away") })
		r.Rotate()
		bubble.Sleep(10 * time.Minute)
		if names := secretNames(t, client); len(names) != 1 {
			t.Errorf("secrets %v: expected no pile of tokens", names)
		}
		w.set(func(w *world) { w.fail = nil })
		bubble.Sleep(time.Minute)
		if got := w.seen(); !slices.Equal(got, []token.Reason{token.Start, token.OnDemand}) {
			t.Errorf("rotations %v", got)
		}
		stop()
	})
}

func TestUnwritableStoreMakesOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, client := &world{}, fake.NewClientset()
		refusing := &unwritable{world: w}
		r := token.NewRotator("demo", token.Deps{
			Secrets: client.CoreV1().Secrets(metav1.NamespaceSystem), Store: refusing, Source: w, Observer: w, Log: slog.New(slog.DiscardHandler),
		}, options(t))
		stop := run(t, r)
		bubble.Sleep(15 * time.Minute)
		if names := secretNames(t, client); len(names) != 1 || w.bundle() != nil {
			t.Errorf("secrets %v after %d attempts: expected one token to wait", names, refusing.tries)
		}
		if refusing.tries < 5 {
			t.Errorf("%d attempts in 15 minutes", refusing.tries)
		}
		stop()
	})
}

type unwritable struct {
	*world
	tries int
}

func (u *unwritable) Put(context.Context, *v1alpha1.JoinBundle) (int64, error) {
	u.tries++
	return 0, errors.New("AccessDeniedException")
}

func TestLostAnswerNeedsNoSecondToken(t *testing.T) {
	w, client := &world{lost: true}, fake.NewClientset()
	r := rotator(t, w, client)
	if _, err := r.Reconcile(t.Context()); err == nil {
		t.Fatal("a lost answer is not success")
	}
	if _, err := r.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names := secretNames(t, client); len(names) != 1 || w.puts != 1 {
		t.Errorf("secrets %v after %d writes: expected the first to count", names, w.puts)
	}
}

func TestOthersTokensAreNeverTouched(t *testing.T) {
	past := time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
	foreign := func(name, label string, kind corev1.SecretType) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem, Labels: map[string]string{v1alpha1.ClusterLabel: label}},
			Type:       kind, Data: map[string][]byte{"token-id": []byte("abcdef"), "expiration": []byte(past)},
		}
	}
	kubeadm := foreign("bootstrap-token-abcdef", "", corev1.SecretTypeBootstrapToken)
	kubeadm.Labels = nil
	other := foreign("bootstrap-token-fedcba", "other", corev1.SecretTypeBootstrapToken)
	opaque := foreign("bootstrap-token-opaque", "demo", corev1.SecretTypeOpaque)
	misnamed := foreign("database", "demo", corev1.SecretTypeBootstrapToken)
	w, client := &world{}, fake.NewClientset(kubeadm, other, opaque, misnamed)
	r := rotator(t, w, client)
	for _, request := range []string{"a", "b", "c"} {
		if _, err := r.Reconcile(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*corev1.Secret{kubeadm, other, opaque, misnamed} {
		if _, err := client.CoreV1().Secrets(metav1.NamespaceSystem).Get(t.Context(), s.Name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			t.Errorf("%s was deleted", s.Name)
		}
	}
}

func TestTokenIsIssuedUntilItsSecretIsDeleted(t *testing.T) {
	kubeadm := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-fedcba", Namespace: metav1.NamespaceSystem},
		Type:       corev1.SecretTypeBootstrapToken, Data: map[string][]byte{"token-id": []byte("fedcba")},
	}
	w, client := &world{}, fake.NewClientset(kubeadm)
	r := rotator(t, w, client)
	if _, err := r.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	check := func(id string, want bool) {
		t.Helper()
		if got, err := r.Issued(t.Context(), id, time.Now()); got != want || err != nil {
			t.Errorf("%s: issued %t, %v: expected %t", id, got, err, want)
		}
	}
	check(w.id(), true)
	check("fedcba", false)
	check("", false)
	if err := client.CoreV1().Secrets(metav1.NamespaceSystem).Delete(t.Context(), "bootstrap-token-"+w.id(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	check(w.id(), false)
}

func TestSuccessorKnowsThePublishedExpiry(t *testing.T) {
	w, client := &world{}, fake.NewClientset()
	if _, err := rotator(t, w, client).Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.expires = time.Time{}
	if _, err := rotator(t, w, client).Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(w.seen()) != 1 || !w.expires.Equal(w.bundle().ExpiresAt) {
		t.Errorf("rotations %v, told of %s: expected %s", w.seen(), w.expires, w.bundle().ExpiresAt)
	}
}

// hanging is an SSM whose connections hang until their context ends.
type hanging struct{ *world }

func (hanging) Get(ctx context.Context) (bundle.Stored, error) {
	<-ctx.Done()
	return bundle.Stored{}, ctx.Err()
}

func TestHangingStoreIsTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, client := &world{}, fake.NewClientset()
		stop := run(t, token.NewRotator("demo", token.Deps{
			Secrets: client.CoreV1().Secrets(metav1.NamespaceSystem), Store: hanging{w}, Source: w, Observer: w, Log: slog.New(slog.DiscardHandler),
		}, options(t)))
		bubble.Sleep(5 * time.Minute)
		stop()
		if n := len(w.troubles); n < 2 {
			t.Errorf("%d troubles told in five minutes", n)
		}
	})
}

func TestForeignBundleIsLeftAlone(t *testing.T) {
	notOurs := &bundle.NotOursError{Parameter: "/p", Field: "cluster", Want: "demo", Got: "prod"}
	w, client := &world{fail: notOurs}, fake.NewClientset()
	_, err := rotator(t, w, client).Reconcile(t.Context(), "some-request")
	if got := (*bundle.NotOursError)(nil); !errors.As(err, &got) || got.Field != "cluster" {
		t.Errorf("got %v", err)
	}
	if w.puts != 0 || len(secretNames(t, client)) != 0 {
		t.Errorf("%d writes, secrets %v", w.puts, secretNames(t, client))
	}
}
