package token

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	informers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// nameOnly keeps the tokens themselves out of the informer's memory.
func nameOnly(obj any) (any, error) {
	s, ok := obj.(*corev1.Secret)
	if !ok {
		return obj, nil
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, UID: s.UID, ResourceVersion: s.ResourceVersion}}, nil
}

// Watch calls changed whenever the Secret of a token of those purposes is deleted
// or altered, until ctx ends. Each name has a watch of its own: that is what RBAC
// can allow without allowing all Secrets.
func Watch(ctx context.Context, client kubernetes.Interface, changed func(), purposes ...Purpose) error {
	watching, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, p := range purposes {
		for _, name := range p.SecretNames() {
			i := informers.NewFilteredSecretInformer(client, metav1.NamespaceSystem, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
			})
			if err := watchOne(i, changed); err != nil {
				return fmt.Errorf("watch secret %s: %w", name, err)
			}
			running.Go(func() { i.RunWithContext(watching) })
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func watchOne(i cache.SharedIndexInformer, changed func()) error {
	if err := i.SetTransform(nameOnly); err != nil {
		return err
	}
	_, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, _ any) { changed() },
		DeleteFunc: func(any) { changed() },
	})
	return err
}
