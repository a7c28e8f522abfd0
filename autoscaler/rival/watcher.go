package rival

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/observe"
)

// maxFound bounds the rivals that are told: anyone who may make pods can make many that
// look like one.
const maxFound = 10

// Access is what a Watcher does with the API server. Each list is of one name, in every
// namespace, by a field selector that RBAC can hold to the name.
var Access = []drive.Access{
	{Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"list"}, Names: []string{Name, KarpenterName}},
	// Not asked by this build: one that it goes back to, or runs beside in an upgrade, does.
	{Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"get"}, Namespace: metav1.NamespaceSystem, Names: []string{Name}},
	{Resource: "endpoints", Verbs: []string{"list"}, Names: []string{Name}},
	{Resource: "configmaps", Verbs: []string{"list"}, Names: []string{Name, StatusName}},
	drive.Watch("", "pods"), drive.Watch("", "nodes"),
}

// Options are what a Watcher needs.
type Options struct {
	Kube   kubernetes.Interface
	Store  *observe.Store
	Events record.EventRecorder
	Log    *slog.Logger
	// Ignored are namespaces whose traces count for nothing.
	Ignored []string
}

// Watcher knows which rivals are active. Active is for one goroutine.
type Watcher struct {
	o     Options
	nodes corelisters.NodeLister
	locks Locks
	asked time.Time
	found []Rival

	mu      sync.Mutex
	pods    map[types.UID]*corev1.Pod // that run an autoscaler
	changed bool                      // pods, since Active last asked
}

// New returns a Watcher that has asked nothing yet.
func New(o Options) *Watcher {
	return &Watcher{o: o, nodes: o.Store.Nodes(), locks: Locks{}, pods: map[types.UID]*corev1.Pod{}}
}

// Follow begins to observe pods, and returns once it knows those that there are.
func (w *Watcher) Follow(ctx context.Context) (stop func(), err error) {
	look := func(obj any) {
		p, ok := obj.(*corev1.Pod)
		if !ok {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if kube.PodAutoscaler(p) != "" {
			w.keep(p.UID, p)
		} else {
			w.keep(p.UID, nil) // an image of a running pod can be changed
		}
	}
	return w.o.Store.FollowPods(ctx, cache.ResourceEventHandlerFuncs{
		AddFunc:    look,
		UpdateFunc: func(_, obj any) { look(obj) },
		DeleteFunc: func(obj any) {
			if p, ok := observe.Deleted(obj).(*corev1.Pod); ok {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.keep(p.UID, nil)
			}
		},
	})
}

// keep notes a pod that runs an autoscaler, or with nil that it does not.
func (w *Watcher) keep(uid types.UID, p *corev1.Pod) {
	if _, known := w.pods[uid]; !known && p == nil {
		return
	}
	w.changed = true
	if p == nil {
		delete(w.pods, uid)
	} else {
		w.pods[uid] = p
	}
}

// Active returns the rivals that act, none when there are none. The API server is asked
// when its last answer is older than maxAge, and when a pod that runs an autoscaler came,
// changed or went. An error means that it is not known, and that nothing must be done.
func (w *Watcher) Active(ctx context.Context, now time.Time, maxAge time.Duration) ([]Rival, error) {
	w.mu.Lock()
	changed := w.changed
	w.changed = false
	w.mu.Unlock()
	if !changed && !w.asked.IsZero() && now.Sub(w.asked) < maxAge {
		return w.found, nil
	}
	w.asked = time.Time{}
	s, err := w.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for other autoscalers: %w", err)
	}
	found := slices.DeleteFunc(Find(s, w.locks, now), func(r Rival) bool { return slices.Contains(w.o.Ignored, r.Namespace) })
	found = found[:min(len(found), maxFound)]
	w.tell(found)
	w.found, w.asked = found, now
	return found, nil
}

func named(name string) metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
}

// look asks for each kind of trace. Every error is told: what is missing is most likely
// a permission, and one answer should name all of them.
func (w *Watcher) look(ctx context.Context) (Sight, error) {
	s := Sight{NodeReady: w.nodeReady}
	var errs []error
	for _, name := range []string{Name, KarpenterName} {
		list, err := w.o.Kube.CoordinationV1().Leases("").List(ctx, named(name))
		if err == nil {
			s.Leases = append(s.Leases, list.Items...)
		}
		errs = append(errs, err)
	}
	endpoints, err := w.o.Kube.CoreV1().Endpoints("").List(ctx, named(Name))
	if err == nil {
		for i := range endpoints.Items {
			s.Endpoints = append(s.Endpoints, endpoints.Items[i].ObjectMeta)
		}
	}
	errs = append(errs, err)
	for _, name := range []string{Name, StatusName} {
		list, err := w.o.Kube.CoreV1().ConfigMaps("").List(ctx, named(name))
		if err == nil {
			for i := range list.Items {
				s.ConfigMaps = append(s.ConfigMaps, list.Items[i].ObjectMeta)
			}
		}
		errs = append(errs, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Pods = slices.Collect(maps.Values(w.pods))
	return s, errors.Join(errs...)
}

func (w *Watcher) nodeReady(name string) bool {
	n, err := w.nodes.Get(name)
	return err == nil && kube.KubeletReady(n)
}

// tell says once that a rival came or went.
func (w *Watcher) tell(found []Rival) {
	for _, r := range found {
		if !slices.Contains(w.found, r) {
			w.o.Log.Warn("another autoscaler is active", "rival", r.String())
			w.o.Events.Eventf(&r.object, corev1.EventTypeWarning, "RivalAutoscaler",
				"%s is active: two autoscalers on the same groups undo each other's work", r)
		}
	}
	for _, r := range w.found {
		if !slices.Contains(found, r) {
			w.o.Log.Info("another autoscaler is gone", "rival", r.String())
		}
	}
}
