// Package durable keeps what the autoscaler knows and cannot observe again over a change
// of leader. It is one ConfigMap that only the controller writes, with an entry for each
// kind of knowledge. Losing it costs a forecast, never correctness.
package durable

import (
	"context"
	"fmt"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/drive"
)

// Name is the name of the ConfigMap in kube-system.
const Name = "joinery-autoscaler"

// Access is what a Store does with the API server.
var Access = []drive.Access{
	{Resource: "configmaps", Verbs: []string{"create"}, Namespace: metav1.NamespaceSystem},
	{Resource: "configmaps", Verbs: []string{"get", "update"}, Namespace: metav1.NamespaceSystem, Names: []string{Name}},
}

// MaxEntry bounds one entry, in bytes: several fit into the 1 MiB of an object.
const MaxEntry = 256 << 10

// configMaps is the part of the API server's client for the ConfigMaps of kube-system
// that Store uses.
type configMaps interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.ConfigMap, error)
	Create(ctx context.Context, m *corev1.ConfigMap, o metav1.CreateOptions) (*corev1.ConfigMap, error)
	Update(ctx context.Context, m *corev1.ConfigMap, o metav1.UpdateOptions) (*corev1.ConfigMap, error)
}

// Store reads and writes entries. It is safe for concurrent use.
type Store struct {
	client configMaps
	mu     sync.Mutex // one write at a time, so that no entry is lost to another
}

// New returns the store in kube-system.
func New(client configMaps) *Store { return &Store{client: client} }

// Read returns an entry; empty without one.
func (s *Store) Read(ctx context.Context, entry string) (string, error) {
	m, err := s.client.Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s of ConfigMap %s: %w", entry, Name, err)
	}
	return m.Data[entry], nil
}

// Write makes text the entry. One that is larger than MaxEntry is an error, and a change
// by another client in between is one too: the next write follows it.
func (s *Store) Write(ctx context.Context, entry, text string) error {
	if len(text) > MaxEntry {
		return fmt.Errorf("write %s of ConfigMap %s: %d bytes, expected %d at most", entry, Name, len(text), MaxEntry)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(ctx, entry, text); err != nil {
		return fmt.Errorf("write %s of ConfigMap %s: %w", entry, Name, err)
	}
	return nil
}

func (s *Store) write(ctx context.Context, entry, text string) error {
	m, err := s.client.Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		m = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: Name}, Data: map[string]string{entry: text}}
		_, err = s.client.Create(ctx, m, metav1.CreateOptions{})
		return err
	}
	if err != nil || m.Data[entry] == text {
		return err
	}
	m = m.DeepCopy()
	m.Data = maps.Clone(m.Data)
	if m.Data == nil {
		m.Data = map[string]string{}
	}
	m.Data[entry] = text
	_, err = s.client.Update(ctx, m, metav1.UpdateOptions{})
	return err
}
