package asg

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/joinery/joinery/autoscaler/cluster"
)

const (
	// refreshEvery is how often a group is asked about for an instance refresh. It takes
	// one call for each group, and a refresh waits an hour for protected instances.
	refreshEvery = 10 * time.Minute
	// refreshSoon is the same while one is under way, and while an instance leaves that
	// was not ended here: that may be one.
	refreshSoon = 20 * time.Second
)

// activeRefreshes are the statuses of an instance refresh that is under way
// (API_InstanceRefresh).
var activeRefreshes = []types.InstanceRefreshStatus{
	types.InstanceRefreshStatusPending, types.InstanceRefreshStatusInProgress, types.InstanceRefreshStatusCancelling,
	types.InstanceRefreshStatusRollbackInProgress, types.InstanceRefreshStatusBaking,
}

// refreshes is what is known of a group's instance refreshes.
type refreshes struct {
	asked time.Time
	found *cluster.Refresh
}

// fillRefresh sets the group's instance refresh under way. What AWS does not answer is
// logged, and what was known before counts on.
func (c *Client) fillRefresh(ctx context.Context, g *cluster.Group) {
	c.mu.Lock()
	h := c.growthOf(g.Name)
	known, every := h.refreshes, refreshEvery
	if known.found != nil || h.othersEnd(g) {
		every = refreshSoon
	}
	c.mu.Unlock()
	if known.asked.IsZero() || time.Since(known.asked) >= every {
		found, err := c.refreshUnderWay(ctx, g.Name)
		if err != nil {
			c.o.Log.Warn("look for an instance refresh", "group", g.Name, "error", err)
			found = known.found
		}
		known = refreshes{time.Now(), found}
		c.mu.Lock()
		h.refreshes = known
		c.mu.Unlock()
	}
	g.Refresh = known.found
}

// othersEnd reports whether an instance leaves that was not ended here; c.mu is held.
func (h *growth) othersEnd(g *cluster.Group) bool {
	return slices.ContainsFunc(g.Instances, func(i cluster.Instance) bool {
		_, ours := h.ended[i.ID]
		return i.Leaving() && !ours
	})
}

// refreshUnderWay asks for the group's active instance refresh: a group has one at most.
// The newest come first (API_DescribeInstanceRefreshes).
func (c *Client) refreshUnderWay(ctx context.Context, group string) (*cluster.Refresh, error) {
	out, err := c.o.AutoScaling.DescribeInstanceRefreshes(ctx, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &group, MaxRecords: aws.Int32(1)})
	if err != nil {
		return nil, err
	}
	for _, r := range out.InstanceRefreshes {
		if !slices.Contains(activeRefreshes, r.Status) {
			continue
		}
		found := &cluster.Refresh{
			ID: aws.ToString(r.InstanceRefreshId), Status: string(r.Status), Began: aws.ToTime(r.StartTime),
			Done: int(aws.ToInt32(r.PercentageComplete)), Waits: true,
			RollsBack: r.Status == types.InstanceRefreshStatusRollbackInProgress,
		}
		if p := r.Preferences; p != nil && p.ScaleInProtectedInstances != "" {
			found.Waits = p.ScaleInProtectedInstances == types.ScaleInProtectedInstancesWait
			found.Skips = p.ScaleInProtectedInstances == types.ScaleInProtectedInstancesIgnore
		}
		return found, nil
	}
	return nil, nil
}
