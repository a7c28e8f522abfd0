package asg

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/wait"
)

// settling is how long AWS may still answer with what was before a write. It
// gives no bound; seconds are usual.
const settling = 30 * time.Second

// looks are the pauses between looks for something that the first answer does
// not show.
var looks = [...]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}

// once keeps the SDK from repeating a write whose answer it did not get: the
// write may have worked, and the second one would not be the same. Whoever calls
// looks at the world before another attempt.
func once(o *autoscaling.Options) { o.RetryMaxAttempts = 1 }

// ending is a termination of ours that AWS may not show yet.
type ending struct {
	sent time.Time
	// taken: AWS said so, or showed it. Else it may have worked or not.
	taken     bool
	decrement bool
}

// endings are those of one group that are remembered, by instance.
type endings map[string]ending

// forget drops those that AWS must show by now.
func (e endings) forget(now time.Time) {
	for id, end := range e {
		if now.Sub(end.sent) > settling {
			delete(e, id)
		}
	}
}

// correct makes an answer of AWS what it will be once AWS shows what we did to
// the group of late. Size and members of one answer are of one moment, so one
// that shows an instance as if we had not ended it counts its place, too.
func (h *growth) correct(g *cluster.Group, now time.Time) {
	h.ended.forget(now)
	for i := range g.Instances {
		in := &g.Instances[i]
		if end, ok := h.ended[in.ID]; ok && end.taken && !in.Leaving() {
			in.LifecycleState = "Terminating"
			if end.decrement {
				g.Desired--
			}
		}
	}
	g.Desired = max(g.Desired, h.least(now))
}

// takenSince counts the places that our own terminations took since a time.
func (h *growth) takenSince(at time.Time) (n int) {
	for _, end := range h.ended {
		if end.taken && end.decrement && end.sent.After(at) {
			n++
		}
	}
	return n
}

// expected is what a plan that knew a size may expect of the group now, unless
// somebody else made it smaller.
func (h *growth) expected(from int) int {
	since := time.Time{}
	if h.shown == from {
		since = h.shownAt
	}
	return from - h.takenSince(since)
}

// settled looks at the group until it is no smaller than a plan may expect. An
// answer that is older than the plan's would let the raise be lost, or worse,
// undo that of somebody else. A group that stays smaller was made so.
func (c *Client) settled(ctx context.Context, group string, from int) (cluster.Group, error) {
	g, err := c.fresh(ctx, group)
	for _, pause := range looks {
		if err != nil || g.Desired >= c.expected(group, from) {
			break
		}
		if err = wait.For(ctx, pause); err == nil {
			g, err = c.fresh(ctx, group)
		}
	}
	return g, err
}

func (c *Client) expected(group string, from int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.growthOf(group).expected(from)
}

// gone reports that an instance is on its way out, or no member any more: one
// that the answer does not show may be younger than the answer, unless it has
// been known for long.
func (c *Client) gone(g cluster.Group, instance string) bool {
	for _, i := range g.Instances {
		if i.ID == instance {
			return i.Leaving()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.growthOf(g.Name)
	at, known := h.seen[instance]
	return h.ended[instance].taken || known && time.Since(at) > settling
}

// seenGone looks whether a termination has worked whose answer says nothing. An
// instance that is not shown in the end is gone.
func (c *Client) seenGone(ctx context.Context, group, instance string) bool {
	absent := false
	for _, pause := range looks {
		g, err := c.fresh(ctx, group)
		if err == nil && c.gone(g, instance) {
			return true
		}
		if absent = err == nil && !slices.ContainsFunc(g.Instances, func(i cluster.Instance) bool { return i.ID == instance }); wait.For(ctx, pause) != nil {
			return false
		}
	}
	return absent
}

// seenRaised looks whether a raise has worked whose answer says nothing. One that worked
// and was not noted would be undone by the next, which is planned from an older answer.
func (c *Client) seenRaised(ctx context.Context, group string, to int) bool {
	for _, pause := range looks {
		if g, err := c.fresh(ctx, group); err == nil && g.Desired >= to {
			return true
		}
		if wait.For(ctx, pause) != nil {
			return false
		}
	}
	return false
}

// remember notes a termination; whoever is told that it worked is not told so
// for a second one.
func (c *Client) remember(group, instance string, e ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.growthOf(group)
	if before := h.ended[instance]; e.taken && e.decrement && !before.taken {
		h.size--
	}
	h.ended[instance] = e
}

func (c *Client) remembered(group, instance string) (ending, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.growthOf(group)
	h.ended.forget(time.Now())
	e, ok := h.ended[instance]
	return e, ok
}

func (c *Client) forgetEnding(group, instance string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.growthOf(group).ended, instance)
}

// unknown reports AWS's answer about an instance that is in no group.
func unknown(err error) bool {
	var answer smithy.APIError
	return errors.As(err, &answer) && answer.ErrorCode() == "ValidationError" && strings.Contains(answer.ErrorMessage(), "No managed instance found")
}

// refused reports that AWS answered, and that it did nothing.
func refused(err error) bool {
	var answer *smithyhttp.ResponseError
	throttled := retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}.IsErrorThrottle(err).Bool()
	return throttled || errors.As(err, &answer) && answer.HTTPStatusCode() >= http.StatusBadRequest && answer.HTTPStatusCode() < http.StatusInternalServerError
}
