package asg

import (
	"cmp"
	"context"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/fleet"
)

// partialEvery is how often groups that carry fleet.EnabledTag alone are looked for;
// that describes the groups of every cluster in the account.
const partialEvery = 15 * time.Minute

// Skipped is a group that is not managed, and why.
type Skipped struct {
	Group  string `json:"group"`
	Reason string `json:"reason"`
	// Unknown says that the configuration names the group and AWS does not know it.
	Unknown bool `json:"-"`
}

// split splits the groups of the cluster's scope into managed and skipped ones.
func split(all []fleet.Group, cluster string) (managed []fleet.Group, skipped []Skipped) {
	for _, g := range all {
		if reason := g.Refusal(cluster); reason != "" {
			skipped = append(skipped, Skipped{Group: g.Name, Reason: reason})
			continue
		}
		managed = append(managed, g)
	}
	return managed, skipped
}

// findPartial looks now and then for groups that carry fleet.EnabledTag, name no
// cluster at all and hence are managed by nobody: most likely a forgotten tag.
// It only informs, so that its errors are logged and nothing else.
func (c *Client) findPartial(ctx context.Context) (found []Skipped, asked bool) {
	c.mu.Lock()
	due := c.partialAt.IsZero() || time.Since(c.partialAt) > partialEvery
	c.mu.Unlock()
	if !due {
		return nil, false
	}
	all, err := c.o.Fleet.Enabled(ctx)
	if err != nil {
		c.o.Log.Warn("look for groups without a cluster tag", "err", err)
		return nil, true
	}
	for _, g := range all {
		owner, owned := g.Tags[v1alpha1.ClusterTag]
		if fleet.NamesCluster(g.Tags) || (owned && owner != c.o.Cluster) {
			continue
		}
		found = append(found, Skipped{Group: g.Name, Reason: "missing tag " + fleet.ClusterTagKey(c.o.Cluster)})
	}
	return found, true
}

func byName(a, b cluster.Group) int { return cmp.Compare(a.Name, b.Name) }
