package loop

import (
	"fmt"
	"maps"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/internal/observe"
)

// owners follows the built-in controllers of pods: that they exist, and how many
// replicas are asked of them.
type owners struct {
	mu sync.Mutex // guards all below
	// replicas: UID of a controller -> how many pods it is to have; 0 where it has no
	// such number.
	replicas map[types.UID]int32
	// shown was handed out and is not changed any more; nil after a change.
	shown map[types.UID]int32
	// synced report whether replicas has all that was listed first.
	synced []cache.InformerSynced
}

func newOwners() *owners { return &owners{replicas: map[types.UID]int32{}} }

// follow has o learn of all controllers that f lists.
func (o *owners) follow(f informers.SharedInformerFactory) error {
	for _, informer := range []cache.SharedIndexInformer{
		f.Apps().V1().ReplicaSets().Informer(), f.Apps().V1().StatefulSets().Informer(), f.Apps().V1().DaemonSets().Informer(),
		f.Batch().V1().Jobs().Informer(), f.Core().V1().ReplicationControllers().Informer(),
	} {
		h, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: o.set, UpdateFunc: func(_, obj any) { o.set(obj) }, DeleteFunc: o.delete,
		})
		if err != nil {
			return fmt.Errorf("follow controllers of pods: %w", err)
		}
		o.synced = append(o.synced, h.HasSynced)
	}
	return nil
}

func (o *owners) set(obj any) {
	uid, n, ok := ownerOf(obj)
	if !ok {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if was, known := o.replicas[uid]; !known || was != n {
		o.replicas[uid], o.shown = n, nil
	}
}

func (o *owners) delete(obj any) {
	uid, _, ok := ownerOf(observe.Deleted(obj))
	if !ok {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.replicas, uid)
	o.shown = nil
}

// lookup returns what a plan asks for the controllers of pods. Its answers do not
// change any more.
func (o *owners) lookup() func(types.UID) (replicas int32, found bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shown == nil {
		o.shown = maps.Clone(o.replicas)
	}
	shown := o.shown
	return func(uid types.UID) (int32, bool) {
		n, found := shown[uid]
		return n, found
	}
}

// ownerOf returns which controller obj is, and how many replicas are asked of it:
// one where nothing is said, as the API server has it.
func ownerOf(obj any) (uid types.UID, replicas int32, ok bool) {
	switch c := obj.(type) {
	case *appsv1.ReplicaSet:
		return c.UID, orOne(c.Spec.Replicas), true
	case *corev1.ReplicationController:
		return c.UID, orOne(c.Spec.Replicas), true
	case *appsv1.StatefulSet:
		return c.UID, orOne(c.Spec.Replicas), true
	case *appsv1.DaemonSet:
		return c.UID, 0, true
	case *batchv1.Job:
		return c.UID, 0, true
	default:
		return "", 0, false
	}
}

func orOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}
