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
)

// autoscalingAPI is the part of the Auto Scaling client that Client uses.
type autoscalingAPI interface {
	DescribeAutoScalingGroups(context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
	DescribeScalingActivities(context.Context, *autoscaling.DescribeScalingActivitiesInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeScalingActivitiesOutput, error)
	SetDesiredCapacity(context.Context, *autoscaling.SetDesiredCapacityInput, ...func(*autoscaling.Options)) (*autoscaling.SetDesiredCapacityOutput, error)
	SetInstanceProtection(context.Context, *autoscaling.SetInstanceProtectionInput, ...func(*autoscaling.Options)) (*autoscaling.SetInstanceProtectionOutput, error)
	TerminateInstanceInAutoScalingGroup(context.Context, *autoscaling.TerminateInstanceInAutoScalingGroupInput, ...func(*autoscaling.Options)) (*autoscaling.TerminateInstanceInAutoScalingGroupOutput, error)
}

// ec2API is the part of the EC2 client that Client uses.
type ec2API interface {
	DescribeLaunchTemplateVersions(context.Context, *ec2.DescribeLaunchTemplateVersionsInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error)
	DescribeInstanceTypes(context.Context, *ec2.DescribeInstanceTypesInput, ...func(*ec2.Options)) (*ec2.DescribeInstanceTypesOutput, error)
}

// Options are what a Client needs; all fields are required.
type Options struct {
	AutoScaling autoscalingAPI
	EC2         ec2API
	// Cluster is the name of the cluster whose groups are managed.
	Cluster string
	Log     *slog.Logger
}

// Client observes and changes the groups of one cluster. It is safe for
// concurrent use.
type Client struct {
	o         Options
	templates *templateCache
	types     *typeCache
	writes    keyedLocks

	// refreshing lets one refresh run at a time.
	refreshing sync.Mutex

	mu sync.Mutex // guards what follows
	// written counts own writes: a refresh that began before the last of them
	// is not kept as fresh.
	written   int
	groups    []cluster.Group
	fetchedAt time.Time
	skipped   []Skipped
	partialAt time.Time
	partial   []Skipped
	growth    map[string]*growth // group name -> its history
	reported  map[string]bool    // warnings that were logged already
}

// New returns a Client that has not asked AWS anything yet.
func New(o Options) *Client {
	return &Client{
		o:         o,
		templates: newTemplateCache(o.EC2),
		types:     newTypeCache(o.EC2),
		growth:    map[string]*growth{},
		reported:  map[string]bool{},
	}
}

// Groups returns the managed groups sorted by name, asking AWS only when what
// is known is older than maxAge or than an own write. The caller must not
// change what the slice holds.
func (c *Client) Groups(ctx context.Context, maxAge time.Duration) ([]cluster.Group, error) {
	if gs, ok := c.cached(maxAge); ok {
		return gs, nil
	}
	c.refreshing.Lock()
	defer c.refreshing.Unlock()
	if gs, ok := c.cached(maxAge); ok {
		return gs, nil
	}
	if err := c.refresh(ctx, maxAge); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.groups), nil
}

// Refresh asks AWS now, whatever is known.
func (c *Client) Refresh(ctx context.Context) error {
	c.refreshing.Lock()
	defer c.refreshing.Unlock()
	return c.refresh(ctx, 0)
}

// Skipped returns the groups that look meant for this cluster and are not
// managed, with the reason, as of the last refresh.
func (c *Client) Skipped() []Skipped {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.skipped, c.partial)
}

func (c *Client) cached(maxAge time.Duration) ([]cluster.Group, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fetchedAt.IsZero() || time.Since(c.fetchedAt) > maxAge {
		return nil, false
	}
	return slices.Clone(c.groups), true
}

func (c *Client) refresh(ctx context.Context, maxAge time.Duration) error {
	c.mu.Lock()
	written := c.written
	c.mu.Unlock()
	found, skipped, err := c.discover(ctx)
	if err != nil {
		return err
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
	c.fetchedAt = time.Now()
	if c.written != written {
		c.fetchedAt = time.Time{}
	}
	if asked {
		c.partial, c.partialAt = partial, time.Now()
	}
	for _, s := range slices.Concat(c.skipped, c.partial) {
		c.warnOnce("group is not managed", s.Group, s.Reason)
	}
	for _, g := range groups {
		if g.TemplateError != nil {
			c.warnOnce("group cannot be grown", g.Name, g.TemplateError.Error())
		}
	}
	return nil
}

// warnOnce logs a problem the first time it is seen; c.mu is held.
func (c *Client) warnOnce(what, group, reason string) {
	key := what + "\x00" + group + "\x00" + reason
	if c.reported[key] {
		return
	}
	c.reported[key] = true
	c.o.Log.Warn(what, "group", group, "reason", reason)
}

// wrote notes an own write, after which what is cached is no longer true.
func (c *Client) wrote() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written++
	c.fetchedAt = time.Time{}
}

// keyedLocks is one mutex for each key. Its zero value is ready to use.
type keyedLocks struct {
	mu    sync.Mutex
	locks map[string]*sync.Mutex // group name -> lock of its writes
}

// lock takes the key's mutex and returns what gives it back.
func (k *keyedLocks) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*sync.Mutex{}
	}
	l, ok := k.locks[key]
	if !ok {
		l = &sync.Mutex{}
		k.locks[key] = l
	}
	k.mu.Unlock()
	l.Lock()
	return l.Unlock
}
