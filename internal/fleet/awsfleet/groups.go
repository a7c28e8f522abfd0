package awsfleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/joinery/joinery/internal/fleet"
)

// poolMembers are the instances in a warm pool.
type poolMembers = []fleet.Member

// Groups returns all groups that carry the cluster's discovery tag, unless discovery is
// off, and those that are named, sorted by name,
// and the number of the look at AWS: 1 or more, the same for the same answer. Those that fleet.Group.Managed refuses are among them. The
// answer is shared: the caller must not change what the slice holds.
func (r *Reader) Groups(ctx context.Context, maxAge time.Duration) ([]fleet.Group, int, error) {
	groups, look, err := r.groups.get(ctx, maxAge, func(ctx context.Context) ([]fleet.Group, error) {
		return r.scoped(ctx)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("describe groups of cluster %s: %w", r.o.Scope.Cluster, err)
	}
	return slices.Clone(groups), look, nil
}

// scoped asks for the groups of the scope.
func (r *Reader) scoped(ctx context.Context) (found []fleet.Group, err error) {
	if !r.o.Scope.DiscoveryOff {
		found, err = r.describe(ctx, &autoscaling.DescribeAutoScalingGroupsInput{Filters: tagKey(fleet.ClusterTagKey(r.o.Scope.Cluster))})
		if err != nil {
			return nil, err
		}
	}
	for chunk := range slices.Chunk(r.o.Scope.Names(), maxGroupNames) {
		named, err := r.describe(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: chunk})
		if err != nil {
			return nil, err
		}
		found = merge(found, named, func(g fleet.Group) string { return g.Name })
	}
	return found, nil
}

// Unknown returns the names of the configuration that are none of groups, as AWS knows
// no such group.
func (r *Reader) Unknown(groups []fleet.Group) []string {
	return slices.DeleteFunc(r.o.Scope.Names(), func(name string) bool { return named(groups, name) != nil })
}

// Managed returns the groups that are the cluster's to manage, sorted by name.
func (r *Reader) Managed(ctx context.Context, maxAge time.Duration) ([]fleet.Group, error) {
	all, _, err := r.Groups(ctx, maxAge)
	return slices.DeleteFunc(all, func(g fleet.Group) bool { return !g.Managed(r.o.Scope.Cluster) }), err
}

// Enabled asks for the groups of every cluster in the account: those that carry
// fleet.EnabledTag.
func (r *Reader) Enabled(ctx context.Context) ([]fleet.Group, error) {
	all, err := r.describe(ctx, &autoscaling.DescribeAutoScalingGroupsInput{Filters: tagKey(fleet.EnabledTag)})
	if err != nil {
		return nil, fmt.Errorf("describe groups with tag %s: %w", fleet.EnabledTag, err)
	}
	return all, nil
}

// Group returns the group of that name, or nil when there is none. A group that the
// picture of the cluster's groups does not show is asked for by its name.
func (r *Reader) Group(ctx context.Context, name string, maxAge time.Duration) (*fleet.Group, error) {
	if maxAge > 0 {
		all, _, err := r.Groups(ctx, maxAge)
		if err != nil {
			return nil, err
		}
		if g := named(all, name); g != nil {
			return g, nil
		}
	}
	found, err := r.describe(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", name, err)
	}
	return named(found, name), nil
}

func named(groups []fleet.Group, name string) *fleet.Group {
	for i := range groups {
		if groups[i].Name == name {
			return &groups[i]
		}
	}
	return nil
}

// Pool returns the instances in a group's warm pool, sorted by id.
func (r *Reader) Pool(ctx context.Context, group string, maxAge time.Duration) ([]fleet.Member, error) {
	pooled, _, err := r.pools.of(group).get(ctx, maxAge, func(ctx context.Context) (poolMembers, error) {
		var out poolMembers
		in := &autoscaling.DescribeWarmPoolInput{AutoScalingGroupName: &group}
		for pages := autoscaling.NewDescribeWarmPoolPaginator(r.o.AutoScaling, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, i := range page.Instances {
				out = append(out, memberOf(i))
			}
		}
		slices.SortFunc(out, byID)
		return out, nil
	})
	if err != nil {
		return nil, fmt.Errorf("describe warm pool of group %s: %w", group, err)
	}
	return slices.Clone(pooled), nil
}

// Lifecycles maps those of ids that are in a group, or in its warm pool, to their
// lifecycle states as they are now.
func (r *Reader) Lifecycles(ctx context.Context, ids ...string) (map[string]fleet.Lifecycle, error) {
	out := map[string]fleet.Lifecycle{}
	for chunk := range slices.Chunk(ids, maxInstanceIDs) {
		in := &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: chunk}
		for pages := autoscaling.NewDescribeAutoScalingInstancesPaginator(r.o.AutoScaling, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("describe lifecycle states: %w", err)
			}
			for _, i := range page.AutoScalingInstances {
				out[aws.ToString(i.InstanceId)] = fleet.Lifecycle(aws.ToString(i.LifecycleState))
			}
		}
	}
	return out, nil
}

func tagKey(key string) []types.Filter {
	return []types.Filter{{Name: aws.String("tag-key"), Values: []string{key}}}
}

func (r *Reader) describe(ctx context.Context, in *autoscaling.DescribeAutoScalingGroupsInput) ([]fleet.Group, error) {
	in.MaxRecords = aws.Int32(maxGroups)
	var all []fleet.Group
	for pages := autoscaling.NewDescribeAutoScalingGroupsPaginator(r.o.AutoScaling, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range page.AutoScalingGroups {
			all = append(all, r.o.Scope.Group(groupOf(g)))
		}
	}
	slices.SortFunc(all, func(a, b fleet.Group) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func groupOf(g types.AutoScalingGroup) fleet.Group {
	out := fleet.Group{
		Name: aws.ToString(g.AutoScalingGroupName),
		Min:  int(aws.ToInt32(g.MinSize)), Max: int(aws.ToInt32(g.MaxSize)), Desired: int(aws.ToInt32(g.DesiredCapacity)),
		Zones: slices.Sorted(slices.Values(g.AvailabilityZones)), Warm: int(aws.ToInt32(g.WarmPoolSize)), Status: aws.ToString(g.Status),
		Tags: map[string]string{}, Propagated: map[string]bool{}, Launch: launchOf(g),
	}
	if g.WarmPoolConfiguration != nil {
		out.WarmPool = string(g.WarmPoolConfiguration.PoolState)
	}
	for _, p := range g.SuspendedProcesses {
		out.Suspended = append(out.Suspended, aws.ToString(p.ProcessName))
	}
	slices.Sort(out.Suspended)
	out.ProtectsNew = aws.ToBool(g.NewInstancesProtectedFromScaleIn)
	for _, t := range g.Tags {
		key := aws.ToString(t.Key)
		out.Tags[key] = aws.ToString(t.Value)
		if aws.ToBool(t.PropagateAtLaunch) {
			out.Propagated[key] = true
		}
	}
	for _, i := range g.Instances {
		out.Members = append(out.Members, memberOf(i))
	}
	slices.SortFunc(out.Members, byID)
	return out
}

func byID(a, b fleet.Member) int { return strings.Compare(a.ID, b.ID) }

func memberOf(i types.Instance) fleet.Member {
	m := fleet.Member{
		ID: aws.ToString(i.InstanceId), Zone: aws.ToString(i.AvailabilityZone), Type: aws.ToString(i.InstanceType),
		LifecycleState: fleet.Lifecycle(i.LifecycleState), Protected: aws.ToBool(i.ProtectedFromScaleIn),
	}
	if ref := refOf(i.LaunchTemplate); ref != nil {
		m.LaunchTemplateID, m.LaunchTemplateName, m.LaunchTemplateVersion = ref.ID, ref.Name, ref.Version
	}
	return m
}

func refOf(s *types.LaunchTemplateSpecification) *fleet.TemplateRef {
	if s == nil {
		return nil
	}
	return &fleet.TemplateRef{ID: aws.ToString(s.LaunchTemplateId), Name: aws.ToString(s.LaunchTemplateName), Version: aws.ToString(s.Version)}
}

func launchOf(g types.AutoScalingGroup) fleet.Launch {
	out := fleet.Launch{Template: refOf(g.LaunchTemplate), Configuration: aws.ToString(g.LaunchConfigurationName)}
	p := g.MixedInstancesPolicy
	if out.Template != nil || p == nil || p.LaunchTemplate == nil {
		return out
	}
	out.Template = refOf(p.LaunchTemplate.LaunchTemplateSpecification)
	for _, o := range p.LaunchTemplate.Overrides {
		out.Overrides = append(out.Overrides, fleet.Override{
			Type: aws.ToString(o.InstanceType), Weight: aws.ToString(o.WeightedCapacity),
			Requirements: o.InstanceRequirements != nil, Template: refOf(o.LaunchTemplateSpecification),
		})
	}
	return out
}
