package instances

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Bounds of one call (EC2 Auto Scaling API Reference).
const (
	maxInstanceIDs = 50  // DescribeAutoScalingInstances
	maxGroups      = 100 // DescribeAutoScalingGroups
)

// Managed returns the groups of the cluster, sorted by name: those with both
// discovery tags and the cluster's own tag, without which the controller's role
// may not act on them (deploy/iam).
func (r *Reader) Managed(ctx context.Context, cluster string) ([]*Group, error) {
	in := &autoscaling.DescribeAutoScalingGroupsInput{
		Filters:    []astypes.Filter{{Name: aws.String("tag:" + v1alpha1.ClusterTag), Values: []string{cluster}}},
		MaxRecords: aws.Int32(maxGroups),
	}
	var out []*Group
	for pages := autoscaling.NewDescribeAutoScalingGroupsPaginator(r.groups, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe groups of cluster %s: %w", cluster, err)
		}
		for _, g := range page.AutoScalingGroups {
			if group := fromAutoScaling(g); group.Managed(cluster) && group.Tags[v1alpha1.ClusterTag] == cluster {
				out = append(out, group)
			}
		}
	}
	slices.SortFunc(out, func(a, b *Group) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Lifecycles maps those of ids that are in a group, or in its warm pool, to
// their lifecycle states, such as InService, Terminating:Wait or Warmed:Stopped.
func (r *Reader) Lifecycles(ctx context.Context, ids ...string) (map[string]string, error) {
	out := map[string]string{}
	for chunk := range slices.Chunk(ids, maxInstanceIDs) {
		in := &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: chunk}
		for pages := autoscaling.NewDescribeAutoScalingInstancesPaginator(r.groups, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("describe lifecycle states: %w", err)
			}
			for _, i := range page.AutoScalingInstances {
				out[aws.ToString(i.InstanceId)] = aws.ToString(i.LifecycleState)
			}
		}
	}
	return out, nil
}

// Pooled maps the instances in a group's warm pool to their lifecycle states.
func (r *Reader) Pooled(ctx context.Context, group string) (map[string]string, error) {
	out := map[string]string{}
	in := &autoscaling.DescribeWarmPoolInput{AutoScalingGroupName: &group}
	for pages := autoscaling.NewDescribeWarmPoolPaginator(r.groups, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe warm pool of group %s: %w", group, err)
		}
		for _, i := range page.Instances {
			out[aws.ToString(i.InstanceId)] = string(i.LifecycleState)
		}
	}
	return out, nil
}
