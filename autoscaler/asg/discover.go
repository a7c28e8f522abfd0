package asg

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
)

const (
	// tagPrefix starts the tags that Cluster Autoscaler's users put on groups.
	tagPrefix = "k8s.io/cluster-autoscaler/"
	// EnabledTag and the tag of ClusterTagKey together make a group managed,
	// whatever their values, as with Cluster Autoscaler's auto-discovery.
	EnabledTag = tagPrefix + "enabled"

	// pageSize is the most that DescribeAutoScalingGroups gives in one answer.
	pageSize = 100
	// partialEvery is how often groups that carry EnabledTag alone are looked
	// for; that describes the groups of every cluster in the account.
	partialEvery = 15 * time.Minute
)

// ClusterTagKey returns the key of the discovery tag that names a cluster.
func ClusterTagKey(cluster string) string { return tagPrefix + cluster }

// Skipped is a group that is not managed, and why.
type Skipped struct {
	Group  string `json:"group"`
	Reason string `json:"reason"`
}

// discover describes the groups that carry the cluster's tag and splits them
// into managed and skipped ones.
func (c *Client) discover(ctx context.Context) ([]types.AutoScalingGroup, []Skipped, error) {
	all, err := c.describe(ctx, ClusterTagKey(c.o.Cluster))
	if err != nil {
		return nil, nil, fmt.Errorf("describe groups of cluster %s: %w", c.o.Cluster, err)
	}
	var managed []types.AutoScalingGroup
	var skipped []Skipped
	for _, g := range all {
		if reason := refusal(tagMap(g.Tags), c.o.Cluster); reason != "" {
			skipped = append(skipped, Skipped{aws.ToString(g.AutoScalingGroupName), reason})
			continue
		}
		managed = append(managed, g)
	}
	return managed, skipped, nil
}

// describe lists all groups that carry a tag key, page by page.
func (c *Client) describe(ctx context.Context, tagKey string) ([]types.AutoScalingGroup, error) {
	pages := autoscaling.NewDescribeAutoScalingGroupsPaginator(c.o.AutoScaling, &autoscaling.DescribeAutoScalingGroupsInput{
		Filters:    []types.Filter{{Name: aws.String("tag-key"), Values: []string{tagKey}}},
		MaxRecords: aws.Int32(pageSize),
	})
	var all []types.AutoScalingGroup
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.AutoScalingGroups...)
	}
	return all, nil
}

// findPartial looks now and then for groups that carry EnabledTag, name no
// cluster at all and hence are managed by nobody: most likely a forgotten tag.
// It only informs, so that its errors are logged and nothing else.
func (c *Client) findPartial(ctx context.Context) (found []Skipped, asked bool) {
	c.mu.Lock()
	due := c.partialAt.IsZero() || time.Since(c.partialAt) > partialEvery
	c.mu.Unlock()
	if !due {
		return nil, false
	}
	all, err := c.describe(ctx, EnabledTag)
	if err != nil {
		c.o.Log.Warn("look for groups without a cluster tag", "err", err)
		return nil, true
	}
	for _, g := range all {
		tags := tagMap(g.Tags)
		owner, owned := tags[v1alpha1.ClusterTag]
		if namesCluster(tags) || (owned && owner != c.o.Cluster) {
			continue
		}
		found = append(found, Skipped{aws.ToString(g.AutoScalingGroupName), "missing tag " + ClusterTagKey(c.o.Cluster)})
	}
	return found, true
}

// refusal says why a group that carries the cluster's discovery tag is not
// managed; empty when it is.
func refusal(tags map[string]string, cluster string) string {
	if owner, ok := tags[v1alpha1.ClusterTag]; ok && owner != cluster {
		return fmt.Sprintf("tag %s names another cluster, %q", v1alpha1.ClusterTag, owner)
	}
	if _, ok := tags[EnabledTag]; !ok {
		return "missing tag " + EnabledTag
	}
	return ""
}

// namesCluster reports whether any tag is a discovery tag of some cluster.
func namesCluster(tags map[string]string) bool {
	for k := range tags {
		rest, ok := strings.CutPrefix(k, tagPrefix)
		if ok && k != EnabledTag && !strings.Contains(rest, "/") {
			return true
		}
	}
	return false
}

func tagMap(tags []types.TagDescription) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

func byName(a, b cluster.Group) int { return cmp.Compare(a.Name, b.Name) }
