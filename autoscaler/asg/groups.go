package asg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/fleet"
)

// observe turns what AWS said about a group into a cluster.Group. Whatever is
// wrong with the group alone becomes its TemplateError.
func (c *Client) observe(ctx context.Context, g fleet.Group, maxAge time.Duration) cluster.Group {
	group := plainGroup(g)
	c.correct(&group)
	c.show(group)
	c.dateInstances(&group)
	if group.Missing() > 0 {
		c.readActivities(ctx, group)
	}
	c.fillHistory(&group)
	c.fillRefresh(ctx, &group)
	c.fillHardware(ctx, &group)
	set, bad := parseSettings(group.Tags)
	group.Priority, group.Headroom, group.ScaleDown = set.priority, set.headroom, set.scaleDown
	lt, kinds, err := c.template(ctx, g, maxAge)
	group.InstanceTypes = typeNames(kinds)
	group.Price = cmp.Or(set.price, c.o.Prices.Mean(group.InstanceTypes))
	if g.Min > g.Max {
		bad = errors.Join(bad, fmt.Errorf("spec.autoscaler.groups leaves no size: its minimum of %d is above its maximum of %d, the group's own bounds considered", g.Min, g.Max))
	}
	err = errors.Join(err, bad)
	if err == nil && g.Status != "" {
		// AWS sets a status only while the group is being deleted.
		err = fmt.Errorf("group status is %q", g.Status)
	}
	if err != nil {
		group.TemplateError = fmt.Errorf("group %s: %w", group.Name, err)
		return group
	}
	group.LaunchTemplateVersion = lt.Version
	group.Template = combine(templatesOf(kinds))
	if len(kinds) == 1 {
		group.InstanceType = kinds[0].name
	}
	c.learn(ctx, group, lt.FloatingImage, kinds)
	return group
}

// plainGroup copies what needs no further question.
func plainGroup(g fleet.Group) cluster.Group {
	return cluster.Group{
		Name: g.Name, Min: g.Min, Max: g.Max, Desired: g.Desired, Zones: g.Zones, Warm: g.Warm, Tags: g.Tags, Suspended: g.Suspended, ProtectsNew: g.ProtectsNew,
		Instances: slices.Clone(g.Members),
	}
}

// source is where a group's instances come from.
type source struct {
	template fleet.TemplateRef
	// types that the group names itself; empty: the launch template's.
	types []string
}

// sourceOf finds the launch template and instance types of a group. What would
// make desired capacity something else than a count of like instances is an
// error.
func sourceOf(l fleet.Launch) (source, error) {
	switch {
	case l.Configuration != "":
		return source{}, fmt.Errorf("no launch template: launch configuration %s is not supported", l.Configuration)
	case l.Template == nil:
		return source{}, errors.New("no launch template")
	}
	s := source{template: *l.Template}
	for i, o := range l.Overrides {
		field := fmt.Sprintf("mixedInstancesPolicy.launchTemplate.overrides[%d]", i)
		switch {
		case o.Requirements:
			return source{}, fmt.Errorf("%s.instanceRequirements: types chosen by attributes are not supported", field)
		case o.Template != nil:
			return source{}, fmt.Errorf("%s.launchTemplateSpecification: a second launch template is not supported", field)
		case o.Weight != "" && o.Weight != "1":
			return source{}, fmt.Errorf("%s.weightedCapacity: weights other than 1 are not supported", field)
		case o.Type != "" && !slices.Contains(s.types, o.Type):
			s.types = append(s.types, o.Type)
		}
	}
	return s, nil
}
