package asg

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/userdata"
)

// observe turns what AWS said about a group into a cluster.Group. Whatever is
// wrong with the group alone becomes its TemplateError.
func (c *Client) observe(ctx context.Context, g types.AutoScalingGroup, maxAge time.Duration) cluster.Group {
	group := plainGroup(g)
	c.dateInstances(&group)
	if missing(group) > 0 {
		c.readActivities(ctx, group)
	}
	c.fillHistory(&group)
	set, bad := parseSettings(group.Tags)
	group.Priority, group.Headroom, group.ScaleDown = set.priority, set.headroom, set.scaleDown
	lt, kinds, err := c.template(ctx, g, maxAge)
	group.InstanceTypes = typeNames(kinds)
	group.Price = cmp.Or(set.price, c.o.Prices.Mean(group.InstanceTypes))
	err = errors.Join(err, bad)
	if err == nil && g.Status != nil {
		// AWS sets a status only while the group is being deleted.
		err = fmt.Errorf("group status is %q", aws.ToString(g.Status))
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
func plainGroup(g types.AutoScalingGroup) cluster.Group {
	group := cluster.Group{
		Name:    aws.ToString(g.AutoScalingGroupName),
		Min:     int(aws.ToInt32(g.MinSize)),
		Max:     int(aws.ToInt32(g.MaxSize)),
		Desired: int(aws.ToInt32(g.DesiredCapacity)),
		Zones:   slices.Sorted(slices.Values(g.AvailabilityZones)),
		Warm:    int(aws.ToInt32(g.WarmPoolSize)),
		Tags:    tagMap(g.Tags),
	}
	for _, i := range g.Instances {
		zone, id := aws.ToString(i.AvailabilityZone), aws.ToString(i.InstanceId)
		in := cluster.Instance{
			ID: id, Zone: zone, Type: aws.ToString(i.InstanceType),
			LifecycleState: string(i.LifecycleState),
			Protected:      aws.ToBool(i.ProtectedFromScaleIn),
			ProviderID:     "aws:///" + zone + "/" + id,
		}
		if i.LaunchTemplate != nil {
			in.LaunchTemplateVersion = aws.ToString(i.LaunchTemplate.Version)
		}
		group.Instances = append(group.Instances, in)
	}
	slices.SortFunc(group.Instances, func(a, b cluster.Instance) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return group
}

// missing is how many instances the group was asked for and has not launched.
func missing(g cluster.Group) int {
	members := 0
	for _, i := range g.Instances {
		if !i.Leaving() && !i.OutOfService() {
			members++
		}
	}
	return g.Desired - members
}

// source is where a group's instances come from.
type source struct {
	spec *types.LaunchTemplateSpecification
	// types that the group names itself; empty: the launch template's.
	types []string
}

// sourceOf finds the launch template and instance types of a group. What would
// make desired capacity something else than a count of like instances is an
// error.
func sourceOf(g types.AutoScalingGroup) (source, error) {
	if g.LaunchTemplate != nil {
		return source{spec: g.LaunchTemplate}, nil
	}
	if name := aws.ToString(g.LaunchConfigurationName); name != "" {
		return source{}, fmt.Errorf("no launch template: launch configuration %s is not supported", name)
	}
	p := g.MixedInstancesPolicy
	if p == nil || p.LaunchTemplate == nil || p.LaunchTemplate.LaunchTemplateSpecification == nil {
		return source{}, errors.New("no launch template")
	}
	s := source{spec: p.LaunchTemplate.LaunchTemplateSpecification}
	for i, o := range p.LaunchTemplate.Overrides {
		field := fmt.Sprintf("mixedInstancesPolicy.launchTemplate.overrides[%d]", i)
		switch {
		case o.InstanceRequirements != nil:
			return source{}, fmt.Errorf("%s.instanceRequirements: types chosen by attributes are not supported", field)
		case o.LaunchTemplateSpecification != nil:
			return source{}, fmt.Errorf("%s.launchTemplateSpecification: a second launch template is not supported", field)
		case o.WeightedCapacity != nil && aws.ToString(o.WeightedCapacity) != "1":
			return source{}, fmt.Errorf("%s.weightedCapacity: weights other than 1 are not supported", field)
		case o.InstanceType != nil && !slices.Contains(s.types, *o.InstanceType):
			s.types = append(s.types, *o.InstanceType)
		}
	}
	return s, nil
}

// nodeConfig reads the NodeConfig that the group's instances will read. As on
// the instance, the tag v1alpha1.ClusterTag stands in for absent user data.
func (c *Client) nodeConfig(g types.AutoScalingGroup, lt launchTemplate) (*v1alpha1.NodeConfig, error) {
	return parseUserData(lt.UserData, instanceTag(g, lt), c.o.Cluster)
}

// parseUserData reads a NodeConfig of cluster from user data in base64. Absent
// user data stands for the NodeConfig of the cluster that tag names.
func parseUserData(text, tag, cluster string) (*v1alpha1.NodeConfig, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("decode base64: %w", err)
	}
	nc, err := userdata.Parse(raw)
	if errors.Is(err, userdata.ErrAbsent) {
		if tag == "" {
			return nil, fmt.Errorf("%w, and instances get no tag %s", err, v1alpha1.ClusterTag)
		}
		nc, err = v1alpha1.NodeConfigFor(tag)
	}
	if err != nil {
		return nil, err
	}
	if nc.Spec.Cluster != cluster {
		return nil, fmt.Errorf("spec.cluster: names cluster %q, the group belongs to %q", nc.Spec.Cluster, cluster)
	}
	return nc, nil
}

// instanceTag is the value of v1alpha1.ClusterTag on the group's instances: a
// tag that the group propagates wins over the launch template's, as in EC2.
func instanceTag(g types.AutoScalingGroup, lt launchTemplate) string {
	for _, t := range g.Tags {
		if aws.ToString(t.Key) == v1alpha1.ClusterTag && aws.ToBool(t.PropagateAtLaunch) {
			return aws.ToString(t.Value)
		}
	}
	return lt.Cluster
}
