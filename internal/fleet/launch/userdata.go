package launch

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/userdata"
)

// NodeConfig reads the NodeConfig that instances which g launches from the template
// will read. As on the instance, the tag v1alpha1.ClusterTag stands in for absent
// user data.
func (t Template) NodeConfig(g *fleet.Group, cluster string) (*v1alpha1.NodeConfig, error) {
	return parseUserData(t.UserData, t.clusterTag(g), cluster)
}

// clusterTag is the value of v1alpha1.ClusterTag on the group's instances: a tag that
// the group propagates wins over the launch template's, as in EC2.
func (t Template) clusterTag(g *fleet.Group) string {
	if g.Propagated[v1alpha1.ClusterTag] {
		return g.Tags[v1alpha1.ClusterTag]
	}
	return t.Cluster
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
