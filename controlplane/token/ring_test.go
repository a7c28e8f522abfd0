package token_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/token"
)

func TestIDsAreTokenIDsAndThePurposesShareNone(t *testing.T) {
	all := slices.Concat(token.Join.IDs(), token.Legacy.IDs())
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) {
		t.Errorf("%d ids, %d of them different", len(all), n)
	}
	for _, id := range all {
		if len(id) != 6 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Errorf("%q is no token id", id)
		}
	}
}

// RBAC names the ring's Secrets and no others, so nothing else may be asked for.
func TestNoOtherSecretIsAskedFor(t *testing.T) {
	w, client := &world{}, fake.NewClientset()
	r := rotator(t, w, client)
	for n := range 40 {
		if _, err := r.Reconcile(t.Context(), fmt.Sprint(n)); err != nil && !errors.As(err, new(*token.RingFullError)) {
			t.Fatal(err)
		}
		if _, err := r.Issued(t.Context(), "abcdef", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range client.Actions() {
		name := ""
		switch a := a.(type) {
		case clienttesting.GetAction: // and deletions, which have the same method
			name = a.GetName()
		case clienttesting.CreateAction:
			name = a.GetObject().(*corev1.Secret).Name
		}
		if !slices.Contains(token.Join.SecretNames(), name) {
			t.Errorf("%s %s %q", a.GetVerb(), a.GetResource().Resource, name)
		}
	}
}

// However many rotations are asked for, the next finds a free id, and what is
// published works.
func TestTheRingNeverRunsFull(t *testing.T) {
	w, client := &world{}, fake.NewClientset()
	r := rotator(t, w, client)
	var ids []string
	for n := range 50 {
		if _, err := r.Reconcile(t.Context(), fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		if n := len(secretNames(t, client)); n > 15 {
			t.Fatalf("%d Secrets", n)
		}
		if !slices.Contains(secretNames(t, client), "bootstrap-token-"+w.id()) {
			t.Fatalf("the Secret of %s is deleted", w.id())
		}
		if len(ids) > 0 && slices.Contains(ids[max(0, len(ids)-14):], w.id()) {
			t.Errorf("%s is used again after %v", w.id(), ids)
		}
		ids = append(ids, w.id())
	}
}

// What another made under a name of the ring is neither read nor deleted, and its
// name is passed over.
func TestForeignSecretsOfTheRingArePassedOver(t *testing.T) {
	var names []string
	client := fake.NewClientset()
	put := func(name string) {
		names = append(names, name)
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem}, Type: corev1.SecretTypeOpaque}
		if _, err := client.CoreV1().Secrets(metav1.NamespaceSystem).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	ring := token.Join.SecretNames()
	put(ring[0])
	put(ring[1])
	w := &world{}
	r := rotator(t, w, client)
	if _, err := r.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.id() != token.Join.IDs()[2] {
		t.Errorf("made %s", w.id())
	}
	for _, name := range ring[3:] {
		put(name)
	}
	_, err := r.Reconcile(t.Context(), "now")
	var full *token.RingFullError
	if !errors.As(err, &full) || len(full.Foreign) != 15 || !strings.Contains(err.Error(), token.Join.IDs()[7]) {
		t.Errorf("a full ring: %v", err)
	}
	for _, name := range names {
		if !slices.Contains(secretNames(t, client), name) {
			t.Errorf("%s was deleted", name)
		}
	}
}

// An id is used again. What was asked for with the token that had it before, and
// that was revoked, is not taken for the new one's.
func TestARevokedTokensRequestIsNotTheNextOnes(t *testing.T) {
	made := time.Now().Add(-time.Hour)
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: token.Join.SecretNames()[0], Namespace: metav1.NamespaceSystem, CreationTimestamp: metav1.NewTime(made),
			Labels: map[string]string{v1alpha1.ClusterLabel: "demo"},
		},
		Type: corev1.SecretTypeBootstrapToken, Data: map[string][]byte{"token-id": []byte(token.Join.IDs()[0])},
	}
	r := rotator(t, &world{}, fake.NewClientset(s))
	for asked, want := range map[time.Time]bool{made.Add(-3 * time.Minute): false, made.Add(-time.Second): true, time.Now(): true} {
		if got, err := r.Issued(t.Context(), token.Join.IDs()[0], asked); got != want || err != nil {
			t.Errorf("asked for %s after it was made: %t, %v", asked.Sub(made), got, err)
		}
	}
}
