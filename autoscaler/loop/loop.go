package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/act"
	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/distrust"
	"github.com/joinery/joinery/autoscaler/expectation"
	"github.com/joinery/joinery/autoscaler/explain"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/price"
	"github.com/joinery/joinery/autoscaler/rival"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/durable"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/fleet/launch"
	"github.com/joinery/joinery/internal/observe"
)

// keptDecisions is how many rounds Decisions shows.
const keptDecisions = 200

// Options are what a Loop needs; all fields but Prices, Profile, Meter and Removed are
// required.
type Options struct {
	Kube        kubernetes.Interface
	AutoScaling *autoscaling.Client
	EC2         *ec2.Client
	// Fleet reads groups and instances, Templates launch templates.
	Fleet     *awsfleet.Reader
	Templates *launch.Templates
	// Store has the Nodes and Pods, Binder decides which instance a Node is.
	Store  *observe.Store
	Binder Binder
	// Spec is a decoded ControllerConfig's, with its defaults set.
	Spec v1alpha1.ControllerSpec
	// Prices of instance types, by which groups are ordered; without them no
	// group has a price but by its tag.
	Prices *price.Table
	// Profile is the cluster's scheduler profile; kube-scheduler's default one
	// when nil.
	Profile *fit.Profile
	Log     *slog.Logger
	// Metrics is where the loop's metrics are registered, once for each Loop.
	Metrics prometheus.Registerer
	// Meter counts the rounds; nil for none.
	Meter  *drive.Meter
	Events record.EventRecorder
	// Removed, if set, is called whenever the instance of a removed node began
	// to end. It must not block.
	Removed func()
}

// Binder decides which instance a Node is: binder.Binder.
type Binder interface {
	// All returns the verdict about every Node, by name, from what EC2 said within
	// maxAge.
	All(ctx context.Context, maxAge time.Duration) (map[string]binding.Verdict, error)
	// Fresh judges the Node of that name and UID by what the API server and EC2
	// say now. A Node of another UID is an error.
	Fresh(ctx context.Context, name string, uid types.UID) (binding.Verdict, error)
}

// Loop is the autoscaler of one cluster. Run it once.
type Loop struct {
	o       Options
	spec    v1alpha1.AutoscalerSettings
	groups  *asg.Client
	world   *world
	act     *act.Executor
	rivals  *rival.Watcher
	metrics *metrics
	// expect is what was bought and what came of it; of the loop's goroutine only.
	expect  *expectation.Ledger
	ring    *explain.Ring
	waker   *waker
	pending *pending

	chores  sync.WaitGroup // what tidy does in the background
	tidying atomic.Bool    // such work is under way
	// checking says that a plan is being checked, plans counts those that could
	// be; plans is of the loop's goroutine only.
	checking atomic.Bool
	plans    int

	memory memory
	// distrust remembers where the scheduler refuses pods that should fit; of the loop's
	// goroutine only.
	distrust distrust.Memory

	// settled says that the last round saw nothing on its way; of the loop's
	// goroutine only.
	settled bool
	// unknown are the named groups of which an Event said that AWS does not know them;
	// of the loop's goroutine only.
	unknown map[string]bool
	// refreshes are the instance refreshes under way of which an Event told, by id.
	refreshes map[string]bool
	// decision is that of the round under way; of the loop's goroutine only.
	decision explain.Decision
}

// New returns a Loop that has started nothing yet. The only errors are a missing
// Binder, a spec whose defaults were not set and metrics that are registered already.
func New(o Options) (*Loop, error) {
	a := o.Spec.Autoscaler
	if o.Binder == nil || o.Store == nil {
		return nil, errors.New("new loop: no Binder or no Store is given")
	}
	if o.Spec.Cluster == "" || a.Resync.Duration <= 0 || a.BatchIdle.Duration <= 0 || a.BatchMax.Duration <= 0 || a.ProvisionTimeout.Duration <= 0 {
		return nil, errors.New("new loop: the spec's defaults are not set")
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register metrics of the loop: %w", err)
	}
	done, err := act.NewMetrics(o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register metrics of the executor: %w", err)
	}
	l := &Loop{
		o: o, spec: a, metrics: m,
		groups:  asg.New(asg.Options{AutoScaling: o.AutoScaling, EC2: o.EC2, Fleet: o.Fleet, Templates: o.Templates, Cluster: o.Spec.Cluster, Prices: o.Prices, Log: o.Log}),
		world:   newWorld(o.Kube, o.Store),
		rivals:  rival.New(rival.Options{Kube: o.Kube, Store: o.Store, Events: o.Events, Log: o.Log, Ignored: a.IgnoreRivalsIn}),
		ring:    explain.NewRing(keptDecisions),
		waker:   newWaker(a.BatchIdle.Duration, a.BatchMax.Duration),
		pending: newPending(),
		memory:  memory{store: durable.New(o.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem))},
		expect:  expectation.New(expectation.Options{Timeout: a.ProvisionTimeout.Duration}),
	}
	l.act = act.New(act.Options{
		Groups: l.groups, Binder: o.Binder, Kube: o.Kube, Pods: l.world.pods, Nodes: l.world.nodes,
		Events: o.Events, Log: o.Log, Metrics: done, Removed: o.Removed,
		DrainTimeout: a.ScaleDown.DrainTimeout.Duration, MaxParallel: a.ScaleDown.MaxParallel, MaxDrains: a.ScaleDown.MaxDrains,
		Turns: turns(a.ScaleDown), DetachTimeout: detachTimeout(a.ScaleDown),
		RetryAfter: a.ScaleDown.DelayAfterFailure.Duration, MaxHold: maxHold(a.ScaleDown),
	})
	return l, nil
}

// Decisions shows the last rounds as JSON, newest first.
func (l *Loop) Decisions() http.Handler { return l.ring }

// roundTimeout bounds one round. It is far above what rounds take, planning for
// thousands of nodes included: what it ends is a connection that hangs.
const roundTimeout = 5 * time.Minute

// Run observes the cluster and runs rounds until ctx ends. It returns after the
// removals under way have stopped, and never with an error of a single round.
func (l *Loop) Run(ctx context.Context) error {
	if err := l.world.start(ctx, l.pending, l.waker, l.o.Log); err != nil {
		return fmt.Errorf("observe the cluster: %w", err)
	}
	defer l.world.stop()
	stop, err := l.rivals.Follow(ctx)
	if err != nil {
		return fmt.Errorf("observe other autoscalers: %w", err)
	}
	defer stop()
	defer l.act.Wait()
	defer l.chores.Wait()
	resync := l.spec.Resync.Duration
	return drive.Rounds{
		Name: "autoscaler", Every: resync, Timeout: roundTimeout, Retry: drive.Backoff{First: resync, Last: resync},
		Round: func(bounded context.Context) (rest time.Duration, err error) { return l.begin(ctx, bounded) },
		Wake:  l.waker.wake, Due: l.waker.due,
		Meter: l.o.Meter, Done: func() { l.keep(nil) }, Failed: l.keep, Log: l.o.Log,
	}.Run(ctx)
}

// begin runs one round within bounded. What goes on in the background after it ends
// with ctx.
func (l *Loop) begin(ctx, bounded context.Context) (rest time.Duration, err error) {
	now := time.Now()
	l.decision = explain.Decision{At: now, Wake: l.waker.take()}
	rest, err = l.round(ctx, bounded, now, &l.decision)
	if err != nil {
		err = fmt.Errorf("woken by %s: %w", l.decision.Wake, err)
	}
	return rest, err
}

// keep accounts for the round that ended, with the error that it met or nil.
func (l *Loop) keep(err error) {
	took := time.Since(l.decision.At)
	l.metrics.rounds.Observe(took.Seconds())
	if err != nil {
		l.metrics.errors.Inc()
		l.decision.Errors = append(l.decision.Errors, err.Error())
	}
	l.decision.Milliseconds = took.Milliseconds()
	l.ring.Add(l.decision)
}

// untilNext is the time until a node's waiting is over, at most Resync.
func (l *Loop) untilNext(d scaledown.Decision, now time.Time) time.Duration {
	wait := l.spec.Resync.Duration
	for _, n := range d.Waiting {
		if left := n.Until.Sub(now); left > 0 {
			wait = min(wait, left)
		}
	}
	return wait
}
