// Package observe is the one picture of Nodes and Pods that the leader's services share. Each kind is listed and watched once, and nothing is kept
// of an object that no service reads.
package observe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/internal/drive"
)

// Access is what a Store does with the API server, once a service follows each kind.
var Access = []drive.Access{
	drive.Watch("", "nodes"), drive.Watch("", "pods"),
}

// Store is the picture. Nothing is listed before a service follows it. It is safe for
// concurrent use.
type Store struct {
	objects informers.SharedInformerFactory
}

// NewStore returns a Store that has not asked the API server anything yet.
func NewStore(client kubernetes.Interface) *Store {
	return &Store{objects: informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(Slim))}
}

// Nodes lists the Nodes, once FollowNodes has returned.
func (s *Store) Nodes() corelisters.NodeLister { return s.objects.Core().V1().Nodes().Lister() }

// AllNodes returns every Node, once FollowNodes has returned. They must not be changed.
func (s *Store) AllNodes() ([]*corev1.Node, error) {
	all, err := s.Nodes().List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return all, nil
}

// Pods lists the Pods, once FollowPods has returned.
func (s *Store) Pods() corelisters.PodLister { return s.objects.Core().V1().Pods().Lister() }

// FollowNodes has h called for every Node that is there and for every change, until
// stop is called. It returns when h has seen all that were there. ctx has to live for
// as long as this process leads: the first follower's starts the watch.
func (s *Store) FollowNodes(ctx context.Context, h cache.ResourceEventHandler) (stop func(), err error) {
	return s.follow(ctx, s.objects.Core().V1().Nodes().Informer(), h)
}

// FollowPods is FollowNodes for Pods.
func (s *Store) FollowPods(ctx context.Context, h cache.ResourceEventHandler) (stop func(), err error) {
	return s.follow(ctx, s.objects.Core().V1().Pods().Informer(), h)
}

func (s *Store) follow(ctx context.Context, i cache.SharedIndexInformer, h cache.ResourceEventHandler) (stop func(), err error) {
	seen, err := i.AddEventHandler(h)
	if err != nil {
		return nil, fmt.Errorf("follow objects: %w", err)
	}
	// Nothing more can be done about a handler that an ended informer does not know.
	stop = func() { _ = i.RemoveEventHandler(seen) }
	s.objects.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), seen.HasSynced) {
		stop()
		return nil, ctx.Err()
	}
	return stop, nil
}

// Shutdown waits until every watch has ended, as they do with the context that started
// them.
func (s *Store) Shutdown() {
	s.objects.Shutdown()
}

// Deleted returns what was last known of a deleted object, for a handler's OnDelete.
func Deleted(obj any) any {
	if last, missed := obj.(cache.DeletedFinalStateUnknown); missed {
		return last.Obj
	}
	return obj
}
