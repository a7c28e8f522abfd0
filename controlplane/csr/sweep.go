package csr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/quote"
	"github.com/joinery/joinery/internal/wait"
)

// Requests whose claim no instance can make good are denied in the end, so that
// Kubernetes deletes them, and an honest one learns why. There is no hurry: a flood
// of them is swept at this pace, whatever its size.
const (
	sweepEvery  = 2 * time.Second
	sweptAtOnce = 5
	// sweepIdle is the longest rest while no request waits; the next one ends it.
	sweepIdle = time.Minute
	// sweepAgain is when a request is swept again that could not be judged.
	sweepAgain = 30 * time.Second
)

// crowded is how many requests may wait in a lane, and unclaimed may wait in all,
// before it is said that further ones wait.
const (
	crowdedLane      = 20
	crowdedUnclaimed = 100
)

// runSweeps denies what waits in vain and says when too much waits.
func (a *Approver) runSweeps(ctx context.Context) error {
	// What is in vain is known after the first look at the instances.
	if err := wait.For(ctx, sweepEvery); err != nil {
		return err
	}
	return drive.Rounds{
		Name: "csr-sweep", Round: a.sweep, Every: sweepIdle, Least: sweepEvery, Retry: drive.Backoff{First: sweepEvery, Last: sweepEvery},
		Wake: a.swept, Meter: a.meter, Log: a.log,
	}.Run(ctx)
}

// sweep is one round. Each judgement is bounded, and a failed one keeps none from the
// others.
func (a *Approver) sweep(ctx context.Context) (rest time.Duration, err error) {
	c := a.lanes.count()
	a.metrics.show(c)
	a.alarm(ctx, c)
	now := time.Now()
	var failed []error
	for _, w := range a.lanes.expired(now.Add(-a.policy.Visible), now, int(a.pace.TokensAt(now))) {
		a.pace.AllowN(now, 1)
		failed = append(failed, a.sweepOne(ctx, w))
	}
	if c.unclaimed+c.queued > 0 {
		rest = sweepEvery
	}
	return rest, errors.Join(failed...)
}

func (a *Approver) sweepOne(ctx context.Context, w waiting) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := a.decide(ctx, w, a.judgeUnclaimed, func(int) time.Time { return time.Now().Add(sweepAgain) })
	return err
}

// judgeUnclaimed judges a request of which no instance that may be joining has the
// name. It asks EC2 what is wrong, and STS only when nothing is.
func (a *Approver) judgeUnclaimed(ctx context.Context, r Request) (Facts, Verdict) {
	if r.Problem == nil && r.Kind == Bootstrap {
		look, ok := identity.LookupFor(r.Node, a.policy.Region, a.policy.Mode)
		if !ok {
			return Facts{}, *a.noName(r)
		}
		var f Facts
		if v := a.resolve(ctx, r, look, &f); v != nil {
			return f, *v
		}
		if v := unclaimed(r, f, time.Now(), a.policy); v != nil {
			return f, *v
		}
	}
	return a.judge(ctx, r)
}

// unclaimed is what is wrong with a request by what EC2 and Auto Scaling say about
// the name that it claims; nil for nothing.
func unclaimed(r Request, f Facts, now time.Time, p Policy) *Verdict {
	i, v := choose(r, f, now, p)
	if v != nil {
		return v
	}
	checks := []check{checkOwner, checkGroup}
	if r.Proof == "" { // with one, an instance may join again at any time
		checks = append(checks, checkLaunch)
	}
	for _, c := range checks {
		if v := c(r, f, i, now, p); v != nil {
			v.Instance = i
			return v
		}
	}
	return nil
}

// alarmEvery is how often it is said that too many requests wait.
const alarmEvery = time.Minute

// alarm says that requests wait because there are too many.
func (a *Approver) alarm(ctx context.Context, c census) {
	what := ""
	switch {
	case c.unclaimed >= crowdedUnclaimed:
		what = fmt.Sprintf("%d requests claim names that no joining instance has", c.unclaimed)
	case c.lengthOf >= crowdedLane && c.longest.claim != "":
		what = fmt.Sprintf("%d requests claim the name %s", c.lengthOf, quote.Name(c.longest.claim))
	case c.lengthOf >= crowdedLane:
		what = fmt.Sprintf("%d requests of %s wait", c.lengthOf, quote.Name(c.longest.requester))
	}
	if what == "" || time.Since(a.alarmed) < alarmEvery {
		return
	}
	a.alarmed = time.Now()
	v := hold(TooManyHeld, "%s: they delay each other and no other request", what)
	if id, holder := strings.CutPrefix(c.example.requester, kube.BootstrapUserPrefix); holder {
		v.Message += fmt.Sprintf(". If they are not of your instances, revoke the token: delete the Secret %s in kube-system", quote.Name(kube.BootstrapTokenSecretName(id)))
	}
	a.say(ctx, c.example.stub(), Request{Name: c.example.name, Created: c.example.created, Requester: c.example.requester, Node: c.longest.claim}, *v)
}
