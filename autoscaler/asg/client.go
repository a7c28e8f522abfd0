package asg

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/price"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/fleet/launch"
)

// autoscalingAPI is the part of the Auto Scaling client that Client uses.
type autoscalingAPI interface {
	DescribeInstanceRefreshes(context.Context, *autoscaling.DescribeInstanceRefreshesInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeInstanceRefreshesOutput, error)
	DescribeScalingActivities(context.Context, *autoscaling.DescribeScalingActivitiesInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeScalingActivitiesOutput, error)
	SetDesiredCapacity(context.Context, *autoscaling.SetDesiredCapacityInput, ...func(*autoscaling.Options)) (*autoscaling.SetDesiredCapacityOutput, error)
	SetInstanceProtection(context.Context, *autoscaling.SetInstanceProtectionInput, ...func(*autoscaling.Options)) (*autoscaling.SetInstanceProtectionOutput, error)
	TerminateInstanceInAutoScalingGroup(context.Context, *autoscaling.TerminateInstanceInAutoScalingGroupInput, ...func(*autoscaling.Options)) (*autoscaling.TerminateInstanceInAutoScalingGroupOutput, error)
}

// ec2API is the part of the EC2 client that Client uses.
type ec2API interface {
	DescribeInstanceTypes(context.Context, *ec2.DescribeInstanceTypesInput, ...func(*ec2.Options)) (*ec2.DescribeInstanceTypesOutput, error)
}

// Options are what a Client needs; all fields but Prices are required.
type Options struct {
	AutoScaling autoscalingAPI
	EC2         ec2API
	// Fleet reads groups and instances.
	Fleet *awsfleet.Reader
	// Templates reads launch templates.
	Templates *launch.Templates
	// Cluster is the name of the cluster whose groups are managed.
	Cluster string
	// Prices of instance types; without it no group has a price but by PriceTag.
	Prices *price.Table
	Log    *slog.Logger
}

// Client observes and changes the groups of one cluster. It is safe for
// concurrent use.
type Client struct {
	o     Options
	types *typeCache
	// writes are taken for a look and the write that follows from it;
	// terminations before that by one of them at a time.
	writes, terminations keyedLocks

	// refreshing lets one refresh run at a time.
	refreshing keyedLocks

	mu sync.Mutex // guards what follows
	// groups are what became of that look; 0 when something was noted that they
	// do not tell.
	groups    []cluster.Group
	look      int
	skipped   []Skipped
	partialAt time.Time
	partial   []Skipped
	growth    map[string]*growth // group name -> its history
	known     map[string]Known   // group name -> what its template was made from
	recalled  map[string][]entry // group name -> what an earlier leader knew
	reported  map[problem]bool   // what the last refresh found wrong
}

// New returns a Client that has not asked AWS anything yet.
func New(o Options) *Client {
	return &Client{
		o:      o,
		types:  newTypeCache(o.EC2),
		growth: map[string]*growth{},
		known:  map[string]Known{},
	}
}

// Groups returns the managed groups sorted by name, as AWS said no longer than
// maxAge ago and after the last own write. The caller must not change what the slice
// holds.
func (c *Client) Groups(ctx context.Context, maxAge time.Duration) ([]cluster.Group, error) {
	defer c.refreshing.lock("")()
	all, look, err := c.o.Fleet.Groups(ctx, maxAge)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	same := c.look == look
	c.mu.Unlock()
	if !same {
		c.refresh(ctx, all, look, maxAge)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.groups), nil
}

// Refresh asks AWS now, whatever is known.
func (c *Client) Refresh(ctx context.Context) error {
	_, err := c.Groups(ctx, 0)
	return err
}

// Skipped returns the groups that look meant for this cluster and are not
// managed, with the reason, as of the last refresh.
func (c *Client) Skipped() []Skipped {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.skipped, c.partial)
}

// refresh makes the groups anew from a look at AWS.
func (c *Client) refresh(ctx context.Context, all []fleet.Group, look int, maxAge time.Duration) {
	c.mu.Lock()
	c.look = look // unless something is noted meanwhile
	c.mu.Unlock()
	found, skipped := split(all, c.o.Cluster)
	for _, name := range c.o.Fleet.Unknown(all) {
		skipped = append(skipped, Skipped{Group: name, Reason: "spec.autoscaler.groups names it, and AWS knows no group of this name", Unknown: true})
	}
	groups := make([]cluster.Group, 0, len(found))
	for _, g := range found {
		groups = append(groups, c.observe(ctx, g, maxAge))
	}
	slices.SortFunc(groups, byName)
	partial, asked := c.findPartial(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups, c.skipped = groups, skipped
	if asked {
		c.partial, c.partialAt = partial, time.Now()
	}
	c.report()
}

// problem is something that is wrong with a group.
type problem struct{ what, group, reason string }

// report logs the problems that the refresh before did not find; c.mu is held.
func (c *Client) report() {
	found := map[problem]bool{}
	note := func(p problem) {
		if !c.reported[p] && !found[p] {
			c.o.Log.Warn(p.what, "group", p.group, "reason", p.reason)
		}
		found[p] = true
	}
	for _, s := range slices.Concat(c.skipped, c.partial) {
		note(problem{"group is not managed", s.Group, s.Reason})
	}
	for _, g := range c.groups {
		if g.TemplateError != nil {
			note(problem{"group cannot be grown", g.Name, g.TemplateError.Error()})
		}
	}
	c.reported = found
}

// keyedLocks is one lock for each key. Its zero value is ready to use. A lock is
// a channel of one, so that a test in virtual time can wait for it.
type keyedLocks struct {
	mu    sync.Mutex
	locks map[string]chan struct{}
}

// lock takes the key's lock and returns what gives it back.
func (k *keyedLocks) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]chan struct{}{}
	}
	l, ok := k.locks[key]
	if !ok {
		l = make(chan struct{}, 1)
		k.locks[key] = l
	}
	k.mu.Unlock()
	l <- struct{}{}
	return func() { <-l }
}
