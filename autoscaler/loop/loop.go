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
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/act"
	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/explain"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/price"
	"github.com/joinery/joinery/autoscaler/scaledown"
)

// keptDecisions is how many rounds Decisions shows.
const keptDecisions = 200

// Options are what a Loop needs; all fields but Prices, Profile and Removed are
// required.
type Options struct {
	Kube        kubernetes.Interface
	AutoScaling *autoscaling.Client
	EC2         *ec2.Client
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
	Events  record.EventRecorder
	// Removed, if set, is called whenever the instance of a removed node began
	// to end. It must not block.
	Removed func()
}

// Loop is the autoscaler of one cluster. Run it once.
type Loop struct {
	o       Options
	spec    v1alpha1.AutoscalerSettings
	groups  *asg.Client
	world   *world
	act     *act.Executor
	rival   *rival
	metrics *metrics
	ring    *explain.Ring
	waker   *waker
	pending *pending

	chores  sync.WaitGroup // what tidy does in the background
	tidying atomic.Bool    // such work is under way
	// checking says that a plan is being checked, plans counts those that could
	// be; plans is of the loop's goroutine only.
	checking atomic.Bool
	plans    int

	// settled says that the last round saw nothing on its way; of the loop's
	// goroutine only.
	settled bool
	// wake is what started the round under way; of the loop's goroutine only.
	wake string
}

// New returns a Loop that has started nothing yet. The only errors are a spec
// whose defaults were not set and metrics that are registered already.
func New(o Options) (*Loop, error) {
	a := o.Spec.Autoscaler
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
		groups:  asg.New(asg.Options{AutoScaling: o.AutoScaling, EC2: o.EC2, Cluster: o.Spec.Cluster, Prices: o.Prices, Log: o.Log}),
		world:   newWorld(o.Kube),
		rival:   newRival(o.Kube, o.Events, o.Log),
		ring:    explain.NewRing(keptDecisions),
		waker:   newWaker(a.BatchIdle.Duration, a.BatchMax.Duration),
		pending: newPending(),
	}
	l.act = act.New(act.Options{
		Groups: l.groups, Kube: o.Kube, Pods: l.world.pods, Nodes: l.world.nodes,
		Events: o.Events, Log: o.Log, Metrics: done, Removed: o.Removed,
		DrainTimeout: a.ScaleDown.DrainTimeout.Duration, MaxParallel: a.ScaleDown.MaxParallel,
		RetryAfter: a.ScaleDown.DelayAfterFailure.Duration,
	})
	return l, nil
}

// Decisions shows the last rounds as JSON, newest first.
func (l *Loop) Decisions() http.Handler { return l.ring }

// Run observes the cluster and runs rounds until ctx ends. It returns after the
// removals under way have stopped, and never with an error of a single round.
func (l *Loop) Run(ctx context.Context) error {
	if err := l.world.start(ctx, l.pending, l.waker, l.o.Log); err != nil {
		return fmt.Errorf("observe the cluster: %w", err)
	}
	defer l.world.stop()
	defer l.act.Wait()
	defer l.chores.Wait()
	wait := time.Duration(0)
	for {
		wake, err := l.waker.next(ctx, wait)
		if err != nil {
			return nil
		}
		l.wake = wake
		wait = l.timedRound(ctx)
	}
}

// timedRound runs one round, keeps its errors from ending the loop and returns
// how long to wait for the next one.
func (l *Loop) timedRound(ctx context.Context) time.Duration {
	began := time.Now()
	next, err := l.round(ctx, began)
	l.metrics.rounds.Observe(time.Since(began).Seconds())
	if err != nil && ctx.Err() == nil {
		l.metrics.errors.Inc()
		l.o.Log.Error("autoscaler round", "wake", l.wake, "err", err)
	}
	return next
}

// untilNext is the time until a node's waiting is over, at most Resync.
func (l *Loop) untilNext(d scaledown.Decision, now time.Time) time.Duration {
	wait := l.spec.Resync.Duration
	for _, n := range d.Waiting {
		since, ok := d.Unneeded[n.Node]
		if !ok || n.Cause != scaledown.NotUnneededLong {
			continue
		}
		for _, delay := range []time.Duration{l.spec.ScaleDown.IdleDelay.Duration, l.spec.ScaleDown.UnneededTime.Duration} {
			if left := since.Add(delay).Sub(now); left > 0 {
				wait = min(wait, left)
			}
		}
	}
	return wait
}
