package act

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/drain"
)

// groups is the part of asg.Client that Executor uses.
type groups interface {
	Groups(ctx context.Context, maxAge time.Duration) ([]cluster.Group, error)
	Raise(ctx context.Context, group string, from, to int) (asg.Raised, error)
	Spare(ctx context.Context, group string) (int, error)
	Terminate(ctx context.Context, group, instance string) error
	Replace(ctx context.Context, group, instance, reason string) error
	Lose(ctx context.Context, group, instance string) error
	Protect(ctx context.Context, group string, instances []string) error
	Unprotect(ctx context.Context, group string, instances []string) error
	Removed(group string, at time.Time)
	RemovalFailed(group string, at time.Time)
}

// Options are what an Executor needs. The fields without a default are required.
type Options struct {
	Groups groups
	// Binder is asked right before anything is done to a node or an instance.
	Binder binder
	Kube   kubernetes.Interface
	// Pods and Nodes are the observed ones, for events and for annotations.
	// Whatever is decided here is decided on freshly read objects.
	Pods    corelisters.PodLister
	Nodes   corelisters.NodeLister
	Events  record.EventRecorder
	Log     *slog.Logger
	Metrics *Metrics
	// Removed, if set, is called after a removal's instance began to end. It
	// must not block.
	Removed func()

	// DrainTimeout is how long the evictions of one drain may take, see
	// drain.Evictor.Empty; 5 min by default.
	DrainTimeout time.Duration
	// DetachTimeout is how long a drained node's instance is kept until its volumes are
	// detached; 2 min by default, negative for not at all.
	DetachTimeout time.Duration
	// MaxHold is scaledown.Options.MaxHold.
	MaxHold time.Duration
	// Turns are the order in which pods leave a node, see drain.Turns.
	Turns drain.Turns
	// MaxParallel bounds the removals under way; 10 by default. MaxDrains bounds those
	// of them that move pods; 1 by default.
	MaxParallel, MaxDrains int
	// Settle is how long after the taint the scheduler may still bind a pod to
	// the node, having decided before it saw the taint; 1 s by default.
	Settle time.Duration
	// RetryAfter is how long a node is left alone after a removal was rolled
	// back; 3 min by default, as Cluster Autoscaler's
	// --scale-down-delay-after-failure.
	RetryAfter time.Duration
}

// Executor carries out plans. It is safe for concurrent use.
type Executor struct {
	o Options

	running sync.WaitGroup // removals

	// reserving is full while a group is asked for room, see reserve. A removal that
	// is to stop need not wait for AWS's answer to another one.
	reserving chan struct{}

	mu       sync.Mutex           // guards what follows
	removals map[string]bool      // node name -> whether pods are moved, of removals under way
	reserved map[string]int       // group -> places that removals are to take
	ended    map[string]time.Time // instance id -> when its termination was accepted
	failed   map[string]time.Time // node name -> when its removal was rolled back
	noticed  map[notice]time.Time // when an event was last emitted
	swept    time.Time            // when noticed was last cleared of old entries
	joined   map[string]time.Time // instance id -> when it was last seen as a Node
	began    time.Time            // when this Executor was made
	replaced map[string]time.Time // group -> when an instance of it was last replaced

	holds map[types.UID]*holdSight // of Nodes; one round at a time uses it
	// resists are the Nodes whose holds took removals back since the last round.
	resists map[types.UID]bool
}

// New returns an Executor.
func New(o Options) *Executor {
	orDefault(&o.DrainTimeout, 5*time.Minute)
	orDefault(&o.DetachTimeout, 2*time.Minute)
	orDefault(&o.MaxParallel, 10)
	orDefault(&o.MaxDrains, 1)
	orDefault(&o.Settle, time.Second)
	orDefault(&o.RetryAfter, 3*time.Minute)
	return &Executor{
		o: o, reserving: make(chan struct{}, 1),
		removals: map[string]bool{},
		reserved: map[string]int{},
		ended:    map[string]time.Time{},
		failed:   map[string]time.Time{},
		noticed:  map[notice]time.Time{},
		joined:   map[string]time.Time{},
		began:    time.Now(),
		replaced: map[string]time.Time{},
		holds:    map[types.UID]*holdSight{},
		resists:  map[types.UID]bool{},
	}
}

func orDefault[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

// Wait returns when no removal is under way any more. Removals end soon after
// their context does.
func (e *Executor) Wait() { e.running.Wait() }

// Removing returns how many removals are under way.
func (e *Executor) Removing() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.removals)
}

// forget drops entries that are older than age, so that no map grows for ever.
func forget[K comparable](m map[K]time.Time, now time.Time, age time.Duration) {
	for k, at := range m {
		if now.Sub(at) > age {
			delete(m, k)
		}
	}
}
