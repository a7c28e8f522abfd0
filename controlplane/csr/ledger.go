package csr

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// configMaps is the part of client-go's ConfigMapInterface that ledger uses.
type configMaps interface {
	Get(context.Context, string, metav1.GetOptions) (*corev1.ConfigMap, error)
	Create(context.Context, *corev1.ConfigMap, metav1.CreateOptions) (*corev1.ConfigMap, error)
	Update(context.Context, *corev1.ConfigMap, metav1.UpdateOptions) (*corev1.ConfigMap, error)
}

// ledger keeps entries of one kind durably: a ConfigMap in kube-system, which no kubelet
// can write, with an entry for each key.
type ledger[T any] struct {
	client configMaps
	// name is the ConfigMap's, what that of its entries to people.
	name, what string
	decode     func(string) (T, error)
	encode     func(T) (string, error)
	// writing keeps the workers of this process from conflicts with each other;
	// another process's changes are met by the object's resource version.
	writing sync.Mutex
}

// read returns the entries as the API server has them now, and nil for an object that is
// not there.
func (l *ledger[T]) read(ctx context.Context) (*corev1.ConfigMap, map[string]T, error) {
	cm, err := l.client.Get(ctx, l.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, map[string]T{}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", l.what, err)
	}
	all := make(map[string]T, len(cm.Data))
	for key, text := range cm.Data {
		if all[key], err = l.decode(text); err != nil {
			return nil, nil, fmt.Errorf("read %s: entry %s of ConfigMap %s: %w", l.what, key, l.name, err)
		}
	}
	return cm, all, nil
}

// all returns the entries by their keys.
func (l *ledger[T]) all(ctx context.Context) (map[string]T, error) {
	_, all, err := l.read(ctx)
	return all, err
}

// update has change work on the entries that there are, and writes them if it says that
// it changed them. It is asked again when somebody else wrote in between.
func (l *ledger[T]) update(ctx context.Context, change func(map[string]T) (bool, error)) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		cm, all, err := l.read(ctx)
		if err != nil {
			return err
		}
		if changed, err := change(all); err != nil || !changed {
			return err
		}
		return l.write(ctx, cm, all)
	})
}

func (l *ledger[T]) write(ctx context.Context, cm *corev1.ConfigMap, all map[string]T) error {
	data := make(map[string]string, len(all))
	for key, one := range all {
		text, err := l.encode(one)
		if err != nil {
			return fmt.Errorf("encode %s: entry %s: %w", l.what, key, err)
		}
		data[key] = text
	}
	if err := l.put(ctx, cm, data); err != nil {
		return fmt.Errorf("write %s: %w", l.what, err)
	}
	return nil
}

func (l *ledger[T]) put(ctx context.Context, cm *corev1.ConfigMap, data map[string]string) error {
	if cm == nil {
		_, err := l.client.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: l.name, Namespace: metav1.NamespaceSystem}, Data: data}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // since it was read: as good as any other conflict
			return apierrors.NewConflict(corev1.Resource("configmaps"), l.name, err)
		}
		return err
	}
	next := cm.DeepCopy()
	next.Data = data
	_, err := l.client.Update(ctx, next, metav1.UpdateOptions{})
	return err
}
