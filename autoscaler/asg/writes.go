package asg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/wait"
)

var (
	// ErrAtMin says that a group has no instance above its minimum to give.
	ErrAtMin = errors.New("group is at its minimum size")
	// ErrNoGroup says that a group is gone or is no longer managed.
	ErrNoGroup = errors.New("group does not exist or is not managed")
)

// maxProtected is the most instances that one SetInstanceProtection takes.
const maxProtected = 50

// raiseTries is how often Raise tries to write; between two attempts it waits
// for raisePause and then for twice that.
const (
	raiseTries = 3
	raisePause = 250 * time.Millisecond
)

// Raised is what Raise did: desired capacity From -> To. Nothing was written
// when they are equal.
type Raised struct{ From, To, Max int }

// Raise grows a group from the size that a plan knew to the size that it wants.
// It looks at the group again first: one whose desired capacity is below its protected
// members, as people lower it by hand, grows from the members; whoever made it larger meanwhile did the
// plan's work, and places that our own terminations took away are not asked
// for again. The maximum is respected and the write never goes downwards: a
// smaller size than the present one is no write at all. (AWS has no
// conditional write; the moment between look and write is the only window, so
// a further attempt looks anew and never repeats an old size.)
func (c *Client) Raise(ctx context.Context, group string, from, to int) (Raised, error) {
	defer c.writes.lock(group)()
	g, err := c.settled(ctx, group, from)
	if err != nil {
		return Raised{}, fmt.Errorf("raise group %s to %d: %w", group, to, err)
	}
	if members := g.Desired + g.Surplus(); members > g.Desired {
		// What lies between buys nothing: AWS launches only above the members. Those that
		// are not protected do not count, because AWS ends what is beyond the capacity.
		to += max(0, members-max(from, g.Desired))
		g.Desired = members
	}
	if g.Desired < from {
		to -= from - g.Desired
	}
	r := Raised{From: g.Desired, To: min(to, g.Max), Max: g.Max}
	if r.To <= r.From {
		r.To = r.From
		return r, nil
	}
	defer c.o.Fleet.Changed()
	sent := time.Now()
	for try := 1; ; try++ {
		if err = c.setDesired(ctx, group, r.To); err == nil {
			break
		}
		if try == raiseTries || !retry.NewStandard().IsErrorRetryable(err) || wait.For(ctx, time.Duration(try)*raisePause) != nil {
			if !refused(err) && c.seenRaised(ctx, group, r.To) {
				break
			}
			return Raised{}, fmt.Errorf("set desired capacity of group %s to %d: %w", group, r.To, awsfleet.Answer(err))
		}
		// The write may have worked and its answer been lost.
		if g, again := c.fresh(ctx, group); again != nil {
			return Raised{}, errors.Join(awsfleet.Answer(err), again)
		} else if g.Desired >= r.To {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.growthOf(group)
	h.increased, h.size = sent, r.To
	return r, nil
}

// setDesired writes once: a repetition is for the caller, after another look.
func (c *Client) setDesired(ctx context.Context, group string, to int) error {
	_, err := c.o.AutoScaling.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{
		AutoScalingGroupName: aws.String(group),
		DesiredCapacity:      aws.Int32(int32(to)),
		HonorCooldown:        aws.Bool(false),
	}, once)
	return err
}

// Spare returns how many instances the group could lose before it is at its
// minimum, looked at afresh. Capacity that AWS has not launched is none.
func (c *Client) Spare(ctx context.Context, group string) (int, error) {
	g, err := c.fresh(ctx, group)
	if err != nil {
		return 0, fmt.Errorf("look at group %s: %w", group, err)
	}
	return spare(g), nil
}

// Terminate ends one instance together with its place in the desired capacity.
// ErrAtMin when the group has no place to give; one of a Surplus goes without a place. An instance that already
// leaves, or left, is a success: the answer to an earlier call may have been
// lost. One request is sent for an instance, and none again while AWS may not
// show yet what became of it.
func (c *Client) Terminate(ctx context.Context, group, instance string) error {
	return c.terminate(ctx, group, instance, false)
}

// Replace ends one instance that is of no use, and notes that as the group's launch
// failure. The instance goes with its place when the group is above its minimum;
// at the minimum AWS launches another in its place.
func (c *Client) Replace(ctx context.Context, group, instance, reason string) error {
	if err := c.terminate(ctx, group, instance, true); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.growthOf(group).failure = cluster.LaunchFailure{At: time.Now(), Cause: reason, Instance: instance}
	return nil
}

// Lose ends one instance that was a node and is lost. That is no launch failure: nothing
// is backed off. The instance goes with its place when the group is above its minimum; at
// the minimum AWS launches another in its place.
func (c *Client) Lose(ctx context.Context, group, instance string) error {
	return c.terminate(ctx, group, instance, true)
}

func (c *Client) terminate(ctx context.Context, group, instance string, atMin bool) error {
	// Terminations queue up by themselves, so that a scale-up waits for one of
	// them at most.
	defer c.terminations.lock(group)()
	defer c.writes.lock(group)()
	g, err := c.fresh(ctx, group)
	if err != nil {
		return fmt.Errorf("terminate instance %s of group %s: %w", instance, group, err)
	}
	if c.gone(g, instance) {
		return nil
	}
	if sent, ok := c.remembered(group, instance); ok {
		return fmt.Errorf("terminate instance %s of group %s: sent %s ago without an answer, and not sent again yet", instance, group, time.Since(sent.sent).Round(time.Second))
	}
	decrement := g.Desired > g.Min && g.Surplus() == 0
	if !atMin && spare(g) <= 0 {
		return fmt.Errorf("terminate instance %s of group %s: %w (%d)", instance, group, ErrAtMin, g.Min)
	}
	defer c.o.Fleet.Changed(instance)
	if err := c.terminateOnce(ctx, group, instance, decrement); err != nil {
		return fmt.Errorf("terminate instance %s of group %s: %w", instance, group, err)
	}
	return nil
}

// terminateOnce sends one request and finds out whether it worked. AWS may take
// a second one and lower the capacity twice, so while that is not known nothing
// is sent again; the instance is remembered for it.
func (c *Client) terminateOnce(ctx context.Context, group, instance string, decrement bool) error {
	e := ending{sent: time.Now(), decrement: decrement}
	c.remember(group, instance, e)
	_, err := c.o.AutoScaling.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
		InstanceId:                     aws.String(instance),
		ShouldDecrementDesiredCapacity: aws.Bool(decrement),
	}, once)
	switch {
	case err == nil:
	case refused(err):
		c.forgetEnding(group, instance)
		if g, again := c.fresh(ctx, group); !unknown(err) && (again != nil || !c.gone(g, instance)) {
			return err
		}
		return nil // somebody else ended it
	case !c.seenGone(ctx, group, instance):
		return err
	}
	e.taken = true
	c.remember(group, instance, e)
	return nil
}

// Protect sets scale-in protection on instances of a group, so that no
// shrinking or rebalancing of AWS's own takes a working node. Only instances in
// service can be protected; terminating by name ignores the protection.
func (c *Client) Protect(ctx context.Context, group string, instances []string) error {
	return c.setProtection(ctx, group, instances, true)
}

// Unprotect takes the scale-in protection of instances of a group away.
func (c *Client) Unprotect(ctx context.Context, group string, instances []string) error {
	return c.setProtection(ctx, group, instances, false)
}

func (c *Client) setProtection(ctx context.Context, group string, instances []string, protected bool) error {
	for chunk := range slices.Chunk(instances, maxProtected) {
		_, err := c.o.AutoScaling.SetInstanceProtection(ctx, &autoscaling.SetInstanceProtectionInput{
			AutoScalingGroupName: aws.String(group),
			InstanceIds:          chunk,
			ProtectedFromScaleIn: &protected,
		})
		if err != nil {
			return fmt.Errorf("set scale-in protection of %d instances of group %s to %t: %w", len(chunk), group, protected, err)
		}
		c.o.Fleet.Changed()
	}
	return nil
}

// fresh looks at one group now, as corrected by what we did to it of late, and
// checks that it is still ours.
func (c *Client) fresh(ctx context.Context, group string) (cluster.Group, error) {
	g, err := c.o.Fleet.Group(ctx, group, 0)
	switch {
	case err != nil:
		return cluster.Group{}, err
	case g == nil || !g.Managed(c.o.Cluster):
		return cluster.Group{}, ErrNoGroup
	}
	plain := plainGroup(*g)
	c.correct(&plain)
	c.mu.Lock()
	defer c.mu.Unlock()
	plain.Refresh = c.growthOf(group).refreshes.found
	return plain, nil
}

// spare is how many of the instances that are there are above the minimum.
func spare(g cluster.Group) int { return g.Desired - max(0, g.Missing()) - g.Min + g.Surplus() }
