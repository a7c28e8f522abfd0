package nodes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/controlplane/instances"
)

// finder is the part of instances.Reader that Janitor uses.
type finder interface {
	ByID(context.Context, ...string) ([]instances.Instance, error)
	Lifecycles(context.Context, ...string) (map[string]string, error)
}

// Deps are what a Janitor works with.
type Deps struct {
	// Client of the API server.
	Client kubernetes.Interface
	// Finder asks EC2.
	Finder finder
	// Events gets one event for each deleted Node.
	Events record.EventRecorder
	// Registry gets the counter of deleted Nodes.
	Registry prometheus.Registerer
	// Log gets one line for each deleted Node.
	Log *slog.Logger
}

// Options say how often the janitor looks.
type Options struct {
	// Cluster whose instances are ours.
	Cluster string
	// Every is how often it looks when nothing happens; 10 s if zero.
	Every time.Duration
	// Settle is how long EC2 must not know an instance; 15 s if zero.
	Settle time.Duration
}

// Between the end of a removal and EC2 saying so lie some seconds, or as long
// as a lifecycle hook takes: the janitor looks every soon, for at most soonFor.
const (
	soon    = time.Second
	soonFor = 2 * time.Minute
)

// patience bounds one look, so that no connection that hangs ends all looking.
const patience = 30 * time.Second

// Janitor deletes Nodes whose instance is gone or waits in a warm pool.
type Janitor struct {
	deps    Deps
	options Options
	deleted prometheus.Counter
	wake    chan struct{}
	unknown Unknown
}

// NewJanitor returns a janitor; it registers its metric.
func NewJanitor(d Deps, o Options) *Janitor {
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	if o.Settle == 0 {
		o.Settle = 15 * time.Second
	}
	d.Log = d.Log.With("part", "nodes")
	j := &Janitor{deps: d, options: o, wake: make(chan struct{}, 1), unknown: Unknown{}}
	j.deleted = prometheus.NewCounter(prometheus.CounterOpts{Name: "joinery_nodes_deleted_total", Help: "Node objects deleted because their instance was gone or went back into a warm pool."})
	d.Registry.MustRegister(j.deleted)
	return j
}

// Wake makes the janitor look at once, as after a termination, and then every
// second until no Node is leaving, for two minutes at most. It never blocks.
func (j *Janitor) Wake() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends. Failures are logged and tried again at the next look.
func (j *Janitor) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(j.deps.Client, 0, informers.WithTransform(slim))
	list := factory.Core().V1().Nodes().Lister()
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	factory.WaitForCacheSync(ctx.Done())
	var until time.Time // of looking often
	for {
		pending, err := j.sweep(ctx, list)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			j.deps.Log.Error("sweep nodes", "error", err)
		}
		wait := j.options.Every
		if pending && time.Now().Before(until) {
			wait = soon
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-j.wake:
			until = time.Now().Add(soonFor)
		case <-timer.C:
		}
		timer.Stop()
	}
}

// sweep looks once: it asks EC2 about suspicious nodes only, in one call for
// every 200 of them, and about nothing when there are none. What is decided
// bears the Node's UID and is confirmed by EC2, so that the informer may be
// behind. pending says that nodes are leaving and still there.
func (j *Janitor) sweep(ctx context.Context, nodes corelisters.NodeLister) (pending bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	all, err := nodes.List(labels.Everything())
	if err != nil {
		return false, fmt.Errorf("list nodes: %w", err)
	}
	suspects := Suspects(all)
	if len(suspects) == 0 {
		j.unknown = Unknown{}
		return false, nil
	}
	ids := make([]string, len(suspects))
	leaving := 0
	for i, s := range suspects {
		ids[i] = s.InstanceID
		if s.Leaving {
			leaving++
		}
	}
	facts, err := j.ask(ctx, ids)
	if err != nil {
		return leaving > 0, err
	}
	planned, unknown := Plan(suspects, facts, j.unknown, j.options.Cluster, time.Now(), j.options.Settle)
	j.unknown = unknown
	for _, d := range planned {
		if d.Leaving {
			leaving--
		}
	}
	return leaving > 0, j.execute(ctx, planned)
}

// ask asks EC2 about instances, and Auto Scaling about those that are stopped.
func (j *Janitor) ask(ctx context.Context, ids []string) (f Facts, err error) {
	if f.Found, err = j.deps.Finder.ByID(ctx, ids...); err != nil {
		return f, err
	}
	if stopped := Stopped(f.Found); len(stopped) > 0 {
		f.Lifecycles, err = j.deps.Finder.Lifecycles(ctx, stopped...)
	}
	return f, err
}

func (j *Janitor) execute(ctx context.Context, planned []Deletion) error {
	var failed []error
	for _, d := range planned {
		uid := types.UID(d.UID)
		err := j.deps.Client.CoreV1().Nodes().Delete(ctx, d.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		switch {
		case apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or another Node by now
		case err != nil:
			failed = append(failed, fmt.Errorf("delete node %s: %w", d.Name, err))
		default:
			j.deleted.Inc()
			node := &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: d.Name, UID: types.UID(d.Name)}
			j.deps.Events.Eventf(node, corev1.EventTypeNormal, "NodeDeleted", "Node deleted: %s", d.Why)
			j.deps.Log.Info("node deleted", "node", d.Name, "instance", d.InstanceID, "why", d.Why)
		}
	}
	return errors.Join(failed...)
}
