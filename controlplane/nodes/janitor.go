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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/controlplane/instances"
)

// finder is the part of instances.Reader that Janitor uses.
type finder interface {
	ByID(context.Context, ...string) ([]instances.Instance, error)
}

// nodeClient is the part of client-go's NodeInterface that Janitor uses.
type nodeClient interface {
	List(context.Context, metav1.ListOptions) (*corev1.NodeList, error)
	Delete(context.Context, string, metav1.DeleteOptions) error
}

// Deps are what a Janitor works with.
type Deps struct {
	// Nodes of the API server.
	Nodes nodeClient
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

// Janitor deletes Nodes whose instance is gone.
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
	j.deleted = prometheus.NewCounter(prometheus.CounterOpts{Name: "joinery_nodes_deleted_total", Help: "Node objects deleted because their instance was gone."})
	d.Registry.MustRegister(j.deleted)
	return j
}

// Wake makes the janitor look at once, as after a termination. It never blocks.
func (j *Janitor) Wake() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends. Failures are logged and tried again at the next look.
func (j *Janitor) Run(ctx context.Context) error {
	tick := time.NewTicker(j.options.Every)
	defer tick.Stop()
	for {
		if err := j.Sweep(ctx); err != nil && ctx.Err() == nil {
			j.deps.Log.Error("sweep nodes", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-j.wake:
		case <-tick.C:
		}
	}
}

// Sweep looks once: it asks EC2 about suspicious nodes only, in one call for
// every 200 of them, and about nothing when there are none.
func (j *Janitor) Sweep(ctx context.Context) error {
	// From the API server's cache: what is decided here bears a UID and is
	// confirmed by EC2, and the janitor looks again soon.
	list, err := j.deps.Nodes.List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	all := make([]*corev1.Node, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	suspects := Suspects(all)
	if len(suspects) == 0 {
		j.unknown = Unknown{}
		return nil
	}
	ids := make([]string, len(suspects))
	for i, s := range suspects {
		ids[i] = s.InstanceID
	}
	found, err := j.deps.Finder.ByID(ctx, ids...)
	if err != nil {
		return err
	}
	planned, unknown := Plan(suspects, found, j.unknown, j.options.Cluster, time.Now(), j.options.Settle)
	j.unknown = unknown
	return j.execute(ctx, planned)
}

func (j *Janitor) execute(ctx context.Context, planned []Deletion) error {
	var failed []error
	for _, d := range planned {
		uid := types.UID(d.UID)
		err := j.deps.Nodes.Delete(ctx, d.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
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
