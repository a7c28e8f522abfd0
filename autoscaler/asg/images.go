package asg

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// maxFilter is the most values that a filter of DescribeInstances takes.
const maxFilter = 200

// Known is what the client knows about a group beyond what cluster.Group says,
// for Sight.Template. The zero value is ready: it knows nothing more.
type Known struct {
	// kinds are the group's types; empty: the group's own template and type.
	kinds []kind
	// floating says that instances of one launch template version may be of
	// different images, those of images.
	floating bool
	images   map[cluster.InstanceID]image
}

// image is what one instance was launched from, and when.
type image struct {
	id string
	at time.Time
}

// Known returns what is known about a group as of the last refresh.
func (c *Client) Known(group string) Known {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[group]
}

// learn keeps what the group's template was made from, and finds out the images
// of its instances where a launch template version does not fix them. An error
// there is logged only: instances of an unknown image are not looked at.
func (c *Client) learn(ctx context.Context, g cluster.Group, floating bool, kinds []kind) {
	known := Known{kinds: kinds, floating: floating}
	if floating {
		before, ids := c.Known(g.Name).images, []string{}
		known.images = map[cluster.InstanceID]image{}
		for _, i := range g.Instances {
			if have, ok := before[i.ID]; ok {
				known.images[i.ID] = have
			} else if i.LaunchTemplateVersion == g.LaunchTemplateVersion {
				ids = append(ids, i.ID)
			}
		}
		more, err := c.askImages(ctx, ids)
		if err != nil {
			c.o.Log.Warn("look for the images of instances", "group", g.Name, "err", err)
		}
		maps.Copy(known.images, more)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[g.Name] = known
}

// askImages asks for the images of instances. One that EC2 does not know yet is
// left out.
func (c *Client) askImages(ctx context.Context, ids []string) (map[cluster.InstanceID]image, error) {
	found := map[cluster.InstanceID]image{}
	for chunk := range slices.Chunk(ids, maxFilter) {
		pages := ec2.NewDescribeInstancesPaginator(c.o.EC2, &ec2.DescribeInstancesInput{
			Filters: []types.Filter{{Name: aws.String("instance-id"), Values: chunk}},
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return found, brief(err)
			}
			for _, r := range page.Reservations {
				for _, i := range r.Instances {
					found[aws.ToString(i.InstanceId)] = image{aws.ToString(i.ImageId), aws.ToTime(i.LaunchTime)}
				}
			}
		}
	}
	return found, nil
}

// tells reports whether an instance shows what the group's next one will be like:
// it is of the same launch template version, and of the image that the newest
// such instance has.
func (k Known) tells(g *cluster.Group) func(cluster.Instance) bool {
	version := g.LaunchTemplateVersion
	if !k.floating {
		return func(i cluster.Instance) bool { return i.LaunchTemplateVersion == version }
	}
	var newest image
	for _, i := range g.Instances {
		if im, ok := k.images[i.ID]; ok && i.LaunchTemplateVersion == version && (newest.id == "" || im.at.After(newest.at)) {
			newest = im
		}
	}
	return func(i cluster.Instance) bool {
		im, ok := k.images[i.ID]
		return ok && i.LaunchTemplateVersion == version && im.id == newest.id
	}
}
