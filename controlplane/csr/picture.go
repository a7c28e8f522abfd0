package csr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/fleet"
)

// How often EC2 is asked which instances may be joining: at once when a request
// claims a name that none has, not sooner than firstLook after the last time, and
// with growing pauses while such requests wait and no new ones come.
const (
	firstLook = 3 * time.Second
	lastLook  = 10 * time.Second
	// idleLook is how often it is seen that no look is due. Nothing depends on it.
	idleLook = time.Hour
)

// wantLook asks for another look at the instances that may be joining.
func (a *Approver) wantLook() {
	a.wanted.Store(true)
	a.wake.Now()
}

// runLooks looks at the instances that may be joining, while requests wait that claim
// the name of none.
func (a *Approver) runLooks(ctx context.Context) error {
	return drive.Rounds{
		Name: "csr-launches", Round: a.lookOut, Every: idleLook, Timeout: timeout,
		// lookOut says how long to wait, after a failure too: this is the most.
		Retry: drive.Backoff{First: lastLook, Last: lastLook},
		Wake:  a.wake, Due: a.lookDue,
		Meter: a.meter, Log: a.log,
	}.Run(ctx)
}

// lookDue is when a look may begin that is wanted.
func (a *Approver) lookDue(time.Time, time.Time) time.Time { return a.looked.Add(firstLook) }

// lookOut looks if a request waits for it, and decides when to look again.
func (a *Approver) lookOut(ctx context.Context) (rest time.Duration, err error) {
	// A request is put into its lane before a look is wanted, so that none is missed
	// in this order.
	if a.wanted.Swap(false) {
		a.pause = firstLook
	}
	if a.pause == 0 || a.lanes.count().unclaimed == 0 {
		a.pause = 0
		return 0, nil
	}
	err = a.look(ctx)
	a.looked = time.Now()
	if c := a.lanes.count(); err == nil && (c.unclaimed == 0 || time.Since(c.youngest) > a.policy.Visible) {
		a.pause = 0
		return 0, nil
	}
	rest = a.pause
	a.pause = min(2*a.pause, lastLook)
	return rest, err
}

// look asks EC2 which instances may be joining and has the requests that claim
// their names judged.
func (a *Approver) look(ctx context.Context) error {
	launches, err := a.launches(ctx, time.Now())
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) { // as at the end of the service
			a.tellUnseen(ctx, err)
		}
		return fmt.Errorf("look for the instances that may be joining: %w", err)
	}
	for _, k := range a.lanes.reopen(launches) {
		a.queue.Add(item{lane: k})
	}
	return nil
}

// launches maps the node names of the instances that may be joining to when these
// were launched: of the cluster's that are alive in our VPC,
//   - each that was launched within the window;
//   - a group's without a Ready Node from an approved join, as after its Node was
//     deleted or made again;
//   - one that its group is bringing into service, such as one from a warm pool.
//
// Whether one of them is admitted is another matter.
func (a *Approver) launches(ctx context.Context, now time.Time) (map[string]time.Time, error) {
	all, err := a.finder.Instances(ctx, time.Second)
	if err != nil {
		return nil, err
	}
	out, earlier := map[string]time.Time{}, map[string]fleet.Instance{}
	for _, i := range all {
		if !i.Alive() || i.VPC != a.policy.VPC {
			continue
		}
		name, err := i.NodeName(a.policy.Region, a.policy.Mode)
		switch {
		case err != nil: // EC2 does not show its address yet
		case now.Sub(i.LaunchTime) <= a.policy.LaunchWindow+heldTooLong:
			out[name] = i.LaunchTime
		case i.Group == "" || !a.lanes.claims(name):
		case !a.isSettled(name): // it may join again, with a Node of another UID or none
			out[name] = i.LaunchTime
		default:
			earlier[name] = i
		}
	}
	if len(earlier) == 0 {
		return out, nil
	}
	groups, err := a.finder.Managed(ctx, firstLook)
	if err != nil {
		return nil, err
	}
	for name, i := range earlier {
		for _, g := range groups {
			if m, in := g.Member(i.ID); in && m.LifecycleState.Pending() {
				out[name] = i.LaunchTime
			}
		}
	}
	return out, nil
}

// toldUnseen is of how many requests it is said that EC2 does not answer.
const toldUnseen = 5

// tellUnseen says of the newest requests why they wait.
func (a *Approver) tellUnseen(ctx context.Context, err error) {
	for node, w := range a.lanes.newestUnclaimed(toldUnseen) {
		r := Request{Name: w.name, UID: string(w.uid), Created: w.created, Kind: Bootstrap, Node: node}
		a.tell(ctx, w.stub(), r, *hold(EC2Unreachable, "%v", err))
	}
}
