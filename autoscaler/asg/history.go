package asg

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// failureReach is how old a failed launch may be that this process did not ask for.
const failureReach = 5 * time.Minute

// growth is the history of a group's growing, in memory only. What follows from the
// failures is the expectation ledger's, which survives the process.
type growth struct {
	increased time.Time // when our last SetDesiredCapacity was sent
	// size is the desired capacity that it wrote, less the places that our own
	// terminations have taken since.
	size int
	// failure is the last launch that failed.
	failure cluster.LaunchFailure
	// removed and removalFailed are when a node of the group was last removed and
	// when a removal last failed.
	removed, removalFailed time.Time
	// seen: instance id -> when it was first seen as a member.
	seen map[string]time.Time
	// shown is the desired capacity that was last told to those who plan.
	shown   int
	shownAt time.Time
	ended   endings
	// refreshes is of the group's instance refreshes.
	refreshes refreshes
}

func (c *Client) growthOf(group string) *growth {
	h, ok := c.growth[group]
	if !ok {
		h = &growth{seen: map[string]time.Time{}, ended: endings{}}
		c.growth[group] = h
	}
	return h
}

// least is the desired capacity that the group has by our own writes, whatever
// AWS answers so soon after them; 0 when they are long past.
func (h *growth) least(now time.Time) int {
	if now.Sub(h.increased) > settling {
		return 0
	}
	return h.size
}

// dateInstances sets when each instance was first seen. AWS does not say in
// this answer when it was launched; the first sight is later, never earlier.
func (c *Client) dateInstances(g *cluster.Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.growthOf(g.Name)
	now, seen := time.Now(), make(map[string]time.Time, len(g.Instances))
	for i := range g.Instances {
		in := &g.Instances[i]
		at, ok := h.seen[in.ID]
		if !ok {
			at = now
		}
		seen[in.ID], in.LaunchedAt = at, at
	}
	h.seen = seen
}

// correct makes an answer of AWS what it will be once AWS shows what we did.
func (c *Client) correct(g *cluster.Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.growthOf(g.Name).correct(g, time.Now())
}

// show notes what those who plan are told.
func (c *Client) show(g cluster.Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.growthOf(g.Name)
	h.shown, h.shownAt = g.Desired, time.Now()
}

func (c *Client) fillHistory(g *cluster.Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.growthOf(g.Name)
	g.LastScaleDown, g.LastScaleDownFailure = h.removed, h.removalFailed
	g.LastScaleUp, g.LaunchFailure = h.increased, h.failure
}

// Removed notes that a node of the group was removed.
func (c *Client) Removed(group string, at time.Time) {
	c.noteHistory(group, func(h *growth) { h.removed = later(h.removed, at) })
}

// RemovalFailed notes that a removal of a node of the group was rolled back.
func (c *Client) RemovalFailed(group string, at time.Time) {
	c.noteHistory(group, func(h *growth) { h.removalFailed = later(h.removalFailed, at) })
}

// noteHistory changes a group's history and lets the groups be observed anew: what
// is cached does not tell of it.
func (c *Client) noteHistory(group string, change func(*growth)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.growthOf(group))
	c.look = 0
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// readActivities looks for the reason why a group launches nothing. An error
// here is logged only: the group is then not backed off yet.
func (c *Client) readActivities(ctx context.Context, g cluster.Group) {
	out, err := c.o.AutoScaling.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{
		AutoScalingGroupName: aws.String(g.Name),
	})
	if err != nil {
		c.o.Log.Warn("describe scaling activities", "group", g.Name, "err", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.growthOf(g.Name)
	since := h.increased
	if since.IsZero() {
		since = time.Now().Add(-failureReach)
	}
	if at, reason, ok := launchFailure(out.Activities, since, h.failure.At); ok {
		h.failure = cluster.LaunchFailure{At: at, Cause: reason}
		c.o.Log.Warn("group cannot launch", "group", g.Name, "desired", g.Desired, "missing", g.Missing(), "reason", reason)
	}
}

// ZoneFailure returns what AWS says of the newest launch that failed in a zone of the
// group at since or later; empty when it says nothing.
func (c *Client) ZoneFailure(ctx context.Context, group, zone string, since time.Time) string {
	out, err := c.o.AutoScaling.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String(group)})
	if err != nil {
		c.o.Log.Warn("describe scaling activities", "group", group, "error", err)
		return ""
	}
	there := slices.DeleteFunc(out.Activities, func(a types.Activity) bool { return zoneOf(a) != zone })
	_, reason, _ := launchFailure(there, since, time.Time{})
	return reason
}

// zoneOf returns the zone that an activity was about; empty when it does not say.
func zoneOf(a types.Activity) string {
	var details struct {
		Zone string `json:"Availability Zone"`
	}
	if json.Unmarshal([]byte(aws.ToString(a.Details)), &details) != nil {
		return ""
	}
	return details.Zone
}

// launchFailure finds the newest failed launch that began at since or later,
// and after the last one that is known. AWS may date activities in whole
// seconds, so since is cut to seconds. Throttling is AWS's trouble with us, not
// with the group's capacity.
func launchFailure(activities []types.Activity, since, known time.Time) (at time.Time, reason string, ok bool) {
	for _, a := range activities {
		start := aws.ToTime(a.StartTime)
		failed := a.StatusCode == types.ScalingActivityStatusCodeFailed && strings.HasPrefix(aws.ToString(a.Description), "Launching")
		if !failed || start.Before(since.Truncate(time.Second)) || !start.After(known) {
			continue
		}
		text := aws.ToString(a.StatusMessage)
		if throttled(text) || (ok && !start.After(at)) {
			continue
		}
		at, reason, ok = start, cause(text), true
	}
	return at, reason, ok
}

func throttled(text string) bool {
	for _, mark := range []string{"RequestLimitExceeded", "Request limit exceeded", "Throttl", "Rate exceeded"} {
		if strings.Contains(text, mark) {
			return true
		}
	}
	return false
}

// phrases pairs words of EC2's messages with the error codes that they belong
// to; AutoScaling often shows the message without the code.
var phrases = [...]struct{ words, code string }{
	{"InsufficientInstanceCapacity", "InsufficientInstanceCapacity"},
	{"do not have sufficient", "InsufficientInstanceCapacity"},
	{"no Spot capacity", "UnfulfillableCapacity"},
	{"VcpuLimitExceeded", "VcpuLimitExceeded"},
	{"more vCPU capacity than your current vCPU limit", "VcpuLimitExceeded"},
	{"InstanceLimitExceeded", "InstanceLimitExceeded"},
	{"InsufficientFreeAddressesInSubnet", "InsufficientFreeAddressesInSubnet"},
	{"not have enough free addresses", "InsufficientFreeAddressesInSubnet"},
}

// cause puts the error code before the message.
func cause(text string) string {
	if text == "" {
		return "launch failed without a message"
	}
	for _, p := range phrases {
		if strings.Contains(text, p.words) {
			return p.code + ": " + text
		}
	}
	return text
}
