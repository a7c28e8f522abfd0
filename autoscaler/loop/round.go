package loop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/joinery/joinery/autoscaler/act"
	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/explain"
	"github.com/joinery/joinery/autoscaler/rival"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/autoscaler/scaleup"
	"github.com/joinery/joinery/autoscaler/validate"
	"github.com/joinery/joinery/internal/kube"
)

const (
	// restAge is how old the groups may be when nothing is pending or on its
	// way. Whatever is decided is looked at afresh before it is done.
	restAge = 3 * time.Minute
	// busyAge is the same otherwise.
	busyAge = 5 * time.Second
	// restBinding and busyBinding are the same of what EC2 said about the instances of
	// nodes. An instance that is new in it is asked about at once.
	restBinding, busyBinding = 30 * time.Minute, time.Minute
	// restRivals and busyRivals are the same of what the API server said about other
	// autoscalers. Nothing is done on an older answer than the second.
	restRivals, busyRivals = time.Minute, 10 * time.Second
)

// round observes, plans, acts and explains once, in d. It returns how long to wait
// for the next round. Its own calls end with bounded, the background's with ctx.
func (l *Loop) round(ctx, bounded context.Context, now time.Time, d *explain.Decision) (next time.Duration, err error) {
	next = l.spec.Resync.Duration
	rivals, err := l.rivals.Active(bounded, now, l.rivalAge())
	if err != nil {
		return next, err
	}
	if l.refused(d, rival.OverGroups(rivals)) {
		return next, nil
	}
	groups, s, err := l.observe(bounded, now)
	if err != nil {
		return next, err
	}
	if came, err := l.rivalCame(bounded, s, now, d, l.rivalAge()); came {
		return next, err
	}
	skipped := l.groups.Skipped()
	describeGroups(d, groups, skipped, now)
	l.tellUnknown(skipped)
	l.tellRefreshes(groups)
	describeExcluded(d, s)
	describeDistrusted(d, s)
	d.Pending = len(s.Pending())
	upErr := l.grow(bounded, s, now, d)
	l.rememberExpectations(bounded, now)
	tidyErr := l.tidy(ctx, bounded, groups, s, now)
	plan, downErr := l.shrink(ctx, bounded, s, now, d)
	return l.untilNext(plan, now), errors.Join(upErr, tidyErr, downErr)
}

// refused ends a round because of another autoscaler, whose name is not empty.
func (l *Loop) refused(d *explain.Decision, name string) bool {
	if name == "" {
		l.metrics.rival.Set(0)
		return false
	}
	l.metrics.rival.Set(1)
	d.Refused = name + " is active"
	return true
}

// atRest reports whether nothing is pending, launching or terminating.
func (l *Loop) atRest() bool {
	return l.settled && l.pending.count() == 0 && l.act.Removing() == 0
}

// rivalAge is how old the answer about other autoscalers may be.
func (l *Loop) rivalAge() time.Duration {
	if l.atRest() {
		return restRivals
	}
	return busyRivals
}

// rivalCame ends a round because of another autoscaler over groups or nodes, by an
// answer that is no older than age. It is asked again before anything is done: at rest
// the answer at the start of the round may be a minute old.
func (l *Loop) rivalCame(ctx context.Context, s *cluster.Snapshot, now time.Time, d *explain.Decision, age time.Duration) (bool, error) {
	rivals, err := l.rivals.Active(ctx, now, age)
	if err != nil {
		return true, err
	}
	return l.refused(d, cmp.Or(rival.OverGroups(rivals), rival.OverNodes(rivals, s.Nodes()))), nil
}

// observe takes the snapshot of this round.
func (l *Loop) observe(ctx context.Context, now time.Time) ([]cluster.Group, *cluster.Snapshot, error) {
	age, bindingAge := busyAge, busyBinding
	if l.atRest() {
		age, bindingAge = restAge, restBinding
	}
	l.recall(ctx)
	groups, err := l.groups.Groups(ctx, age)
	if err != nil {
		return nil, nil, err
	}
	in, err := l.world.input(now)
	if err != nil {
		return nil, nil, err
	}
	// Without verdicts nothing is known of any node, and nothing is planned.
	if in.Bindings, err = l.o.Binder.All(ctx, bindingAge); err != nil {
		return nil, nil, fmt.Errorf("look up the instances of nodes: %w", err)
	}
	sight := asg.Look(in.Nodes, in.CSINodes, in.Bindings).At(now).With(l.world.cache.NodePods)
	for i := range groups {
		groups[i].Template = sight.Template(groups[i], l.groups.Known(groups[i].Name))
	}
	l.remember(ctx, now)
	l.expect.Apply(groups, now)
	in.Unready = unready(l.spec)
	in.Taints = kube.TaintRules{Startup: l.spec.StartupTaints, Status: l.spec.StatusTaints}
	in.Groups, in.Joined = groups, l.act.Joined(groups, in.Bindings, now)
	in.Distrusted = l.distrust.Distrusted(now, l.world.changes.of(in.Nodes))
	s, err := l.world.cache.Snapshot(in)
	if err != nil {
		return nil, nil, err
	}
	if l.judge(ctx, s) {
		l.expect.Apply(groups, now)
		if s, err = l.world.cache.Snapshot(in); err != nil {
			return nil, nil, err
		}
	}
	l.settled = true
	for _, n := range s.Nodes() {
		l.settled = l.settled && settled(n)
	}
	l.metrics.setGroups(groups, s)
	return groups, s, nil
}

// settled reports whether nothing is to be done about a node:
//   - it has joined;
//   - no removal of it has begun, and no mark of a Cluster Autoscaler is left on it,
//     unless it is no business of the autoscaler.
func settled(n *cluster.NodeState) bool {
	marked := kube.Marked(n.Node()) || kube.HasTaint(n.Node(), kube.DeletionCandidateTaint)
	return n.Kind == cluster.Joined && (!marked || n.Excluded != "")
}

// grow plans and raises groups.
func (l *Loop) grow(ctx context.Context, s *cluster.Snapshot, now time.Time, d *explain.Decision) error {
	o, _ := l.planOptions()
	l.brake(s, now, &o)
	plan := scaleup.Plan(s, now, o)
	if plan.Err != nil {
		return fmt.Errorf("plan scale-up: %w", plan.Err)
	}
	l.doubt(s, plan, now)
	l.countPods(plan)
	if len(plan.Increases) > 0 {
		if came, err := l.rivalCame(ctx, s, now, d, busyRivals); came {
			return err
		}
	}
	l.check(s, "scale-up", validate.Plan{NewNodes: plan.NewNodes, Gone: plan.Leaving, Placements: plan.Placements})
	results := l.act.ScaleUp(ctx, plan)
	l.expectOf(s, plan, results)
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
func (l *Loop) tidy(ctx, bounded context.Context, groups []cluster.Group, s *cluster.Snapshot, now time.Time) error {
	bindings := s.Bindings()
	replace := func() error {
		if s.Brake() != "" {
			return nil // whatever silences so many nodes keeps new ones from joining
		}
		return l.act.Replace(ctx, groups, bindings, now, l.spec.ProvisionTimeout.Duration)
	}
	protect := func() error { return l.act.Protect(ctx, groups, bindings) }
	if l.spec.ScaleDown.Disabled {
		protect = func() error { return l.act.Unprotect(ctx, groups) }
	}
	if l.tidying.CompareAndSwap(false, true) {
		l.chores.Go(func() {
			defer l.tidying.Store(false)
			err := errors.Join(protect(), replace())
			if err != nil && ctx.Err() == nil {
				l.metrics.errors.Inc()
				l.o.Log.Error("look after groups", "err", err)
			}
		})
	}
	return l.act.TakeBack(bounded, groups, bindings)
}

// shrink plans and begins removals.
func (l *Loop) shrink(ctx, bounded context.Context, s *cluster.Snapshot, now time.Time, d *explain.Decision) (scaledown.Decision, error) {
	if l.spec.ScaleDown.Disabled {
		return scaledown.Decision{}, nil
	}
	_, o := l.planOptions()
	o.Owner = l.world.owners.lookup()
	l.stay(now, &o)
	plan := scaledown.Plan(s, now, o)
	if plan.Err != nil {
		return scaledown.Decision{}, fmt.Errorf("plan scale-down: %w", plan.Err)
	}
	l.metrics.unneeded.Set(float64(len(plan.Unneeded)))
	l.metrics.setLost(plan)
	l.act.TellLost(plan)
	l.check(s, "scale-down", validate.Plan{Removed: plan.Nodes(), Placements: plan.Moves})
	explainShrinking(d, plan)
	if len(plan.Nodes()) > 0 {
		if came, err := l.rivalCame(bounded, s, now, d, busyRivals); came {
			return plan, err
		}
	}
	err := errors.Join(l.act.RecordUnneeded(bounded, plan), l.act.RecordHolds(bounded, plan, now))
	l.expectOfRemovals(s, plan, now)
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
