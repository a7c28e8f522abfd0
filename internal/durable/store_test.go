package durable_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/internal/durable"
)

// Entries are kept apart, and what another leader wrote is seen.
func TestEntriesAreKept(t *testing.T) {
	maps := fake.NewClientset().CoreV1().ConfigMaps(metav1.NamespaceSystem)
	a, b := durable.New(maps), durable.New(maps)
	write := func(s *durable.Store, entry, text string) {
		t.Helper()
		if err := s.Write(t.Context(), entry, text); err != nil {
			t.Fatal(err)
		}
	}
	read := func(s *durable.Store, entry, want string) {
		t.Helper()
		if got, err := s.Read(t.Context(), entry); got != want || err != nil {
			t.Errorf("%s is %q (%v), want %q", entry, got, err, want)
		}
	}
	read(a, "one", "")
	write(a, "one", "1")
	write(b, "two", "2")
	write(a, "one", "3")
	for _, s := range []*durable.Store{a, b} {
		read(s, "one", "3")
		read(s, "two", "2")
	}
	if err := a.Write(t.Context(), "one", strings.Repeat("x", durable.MaxEntry+1)); err == nil || !strings.Contains(err.Error(), "expected") {
		t.Errorf("too large an entry: %v", err)
	}
	read(a, "one", "3")
}

// What does not change is not written.
func TestTheSameIsNotWritten(t *testing.T) {
	client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: durable.Name}, Data: map[string]string{"one": "1"}})
	s := durable.New(client.CoreV1().ConfigMaps(metav1.NamespaceSystem))
	if err := s.Write(t.Context(), "one", "1"); err != nil {
		t.Fatal(err)
	}
	for _, a := range client.Actions() {
		if a.GetVerb() != "get" {
			t.Errorf("%s of the same entry", a.GetVerb())
		}
	}
}

// An API server that refuses is told about, with what was to be done.
func TestRefusals(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("*", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(corev1.Resource("configmaps"), durable.Name, nil)
	})
	s := durable.New(client.CoreV1().ConfigMaps(metav1.NamespaceSystem))
	if _, err := s.Read(t.Context(), "one"); !apierrors.IsForbidden(err) || !strings.HasPrefix(err.Error(), "read one of ConfigMap") {
		t.Errorf("read: %v", err)
	}
	if err := s.Write(t.Context(), "one", "1"); !apierrors.IsForbidden(err) || !strings.HasPrefix(err.Error(), "write one of ConfigMap") {
		t.Errorf("write: %v", err)
	}
}
