package loop

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/joinery/joinery/autoscaler/act"
	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/explain"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/autoscaler/scaleup"
	"github.com/joinery/joinery/autoscaler/validate"
)

const (
	// restAge is how old the groups may be when nothing is pending or on its
	// way. Whatever is decided is looked at afresh before it is done.
	restAge = 3 * time.Minute
	// busyAge is the same otherwise.
	busyAge = 5 * time.Second
)

// round observes, plans, acts and explains once. It returns how long to wait for
// the next round.
func (l *Loop) round(ctx context.Context, now time.Time) (next time.Duration, err error) {
	d := explain.Decision{At: now, Wake: l.wake}
	began := time.Now()
	next = l.spec.Resync.Duration
	defer func() {
		// The filters are the scheduler's code, on objects that anybody wrote:
		// a fault there costs a round, not the loop.
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("round panicked: %v\n%s", p, debug.Stack()))
		}
		if err != nil {
			d.Errors = append(d.Errors, err.Error())
		}
		d.Milliseconds = time.Since(began).Milliseconds()
		l.ring.Add(d)
	}()
	holder, err := l.rival.active(ctx, now)
	if err != nil {
		return next, err
	}
	if holder != "" {
		l.metrics.rival.Set(1)
		d.Refused = "Cluster Autoscaler " + holder + " is active"
		return next, nil
	}
	l.metrics.rival.Set(0)
	groups, s, err := l.observe(ctx, now)
	if err != nil {
		return next, err
	}
	describeGroups(&d, groups, l.groups.Skipped(), now)
	d.Pending = len(s.Pending())
	upErr := l.grow(ctx, s, now, &d)
	tidyErr := l.tidy(ctx, groups, now)
	plan, downErr := l.shrink(ctx, s, now, &d)
	return l.untilNext(plan, now), errors.Join(upErr, tidyErr, downErr)
}

// observe takes the snapshot of this round.
func (l *Loop) observe(ctx context.Context, now time.Time) ([]cluster.Group, *cluster.Snapshot, error) {
	age := busyAge
	if l.settled && l.pending.count() == 0 && l.act.Removing() == 0 {
		age = restAge
	}
	groups, err := l.groups.Groups(ctx, age)
	if err != nil {
		return nil, nil, err
	}
	in, err := l.world.input(now)
	if err != nil {
		return nil, nil, err
	}
	sight := asg.Look(in.Nodes, in.CSINodes)
	for i := range groups {
		groups[i].Template = sight.Template(groups[i], l.groups.Known(groups[i].Name))
	}
	in.Groups = groups
	s, err := l.world.cache.Snapshot(in)
	if err != nil {
		return nil, nil, err
	}
	l.settled = true
	for _, n := range s.Nodes() {
		if n.Kind != cluster.Joined || act.Marked(n.Node()) {
			l.settled = false
		}
	}
	l.metrics.setGroups(groups)
	return groups, s, nil
}

// grow plans and raises groups.
func (l *Loop) grow(ctx context.Context, s *cluster.Snapshot, now time.Time, d *explain.Decision) error {
	o, _ := l.planOptions()
	plan := scaleup.Plan(s, now, o)
	if plan.Err != nil {
		return fmt.Errorf("plan scale-up: %w", plan.Err)
	}
	l.countPods(plan)
	l.check(s, "scale-up", validate.Plan{NewNodes: plan.NewNodes, Placements: plan.Placements})
	results := l.act.ScaleUp(ctx, plan)
	explainGrowth(d, plan, results)
	var errs []error
	for _, r := range results {
		errs = append(errs, r.Err)
		if r.Changed() {
			l.settled = false
			l.measure(r)
		}
	}
	return errors.Join(errs...)
}

// measure records how long the increase's pods had been waiting for it.
func (l *Loop) measure(r act.Increased) {
	longest := time.Duration(0)
	for _, key := range r.Pods {
		pod, err := l.world.pods.Pods(key.Namespace).Get(key.Name)
		if err != nil {
			continue // deleted meanwhile
		}
		if waited, ok := l.pending.answer(pod.UID, r.At); ok {
			l.metrics.pendingToDesired.Observe(waited.Seconds())
			longest = max(longest, waited)
		}
	}
	if longest > 0 {
		l.o.Log.Info("pending to desired", "group", r.Group, "pods", len(r.Pods), "seconds", longest.Seconds())
	}
}

// tidy puts right what an earlier controller or AWS left behind. What only AWS is
// asked for goes on in the background, one such work at a time: no pod waits for
// it, however slow AWS is.
func (l *Loop) tidy(ctx context.Context, groups []cluster.Group, now time.Time) error {
	nodes, err := l.world.nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	if l.tidying.CompareAndSwap(false, true) {
		l.chores.Go(func() {
			defer l.tidying.Store(false)
			err := errors.Join(
				l.act.Protect(ctx, groups),
				l.act.Replace(ctx, groups, nodes, now, l.spec.ProvisionTimeout.Duration),
			)
			if err != nil && ctx.Err() == nil {
				l.metrics.errors.Inc()
				l.o.Log.Error("look after groups", "err", err)
			}
		})
	}
	return l.act.TakeBack(ctx, groups)
}

// shrink plans and begins removals.
func (l *Loop) shrink(ctx context.Context, s *cluster.Snapshot, now time.Time, d *explain.Decision) (scaledown.Decision, error) {
	if l.spec.ScaleDown.Disabled {
		return scaledown.Decision{}, nil
	}
	_, o := l.planOptions()
	plan := scaledown.Plan(s, now, o)
	if plan.Err != nil {
		return scaledown.Decision{}, fmt.Errorf("plan scale-down: %w", plan.Err)
	}
	l.metrics.unneeded.Set(float64(len(plan.Unneeded)))
	l.check(s, "scale-down", validate.Plan{Removed: plan.Nodes(), Placements: plan.Moves})
	explainShrinking(d, plan)
	err := l.act.Annotate(ctx, plan)
	l.act.ScaleDown(ctx, plan)
	return plan, err
}

func (l *Loop) countPods(plan scaleup.Decision) {
	helped := 0
	for _, inc := range plan.Increases {
		helped += len(inc.Pods)
	}
	l.metrics.pods.WithLabelValues("helped").Set(float64(helped))
	l.metrics.pods.WithLabelValues("waiting").Set(float64(len(plan.Waiting)))
	l.metrics.pods.WithLabelValues("unhelped").Set(float64(len(plan.Unhelped)))
}
