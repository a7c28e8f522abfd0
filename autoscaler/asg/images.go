package asg

import (
	"context"
	"maps"
	"time"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
)

// Known is what the client knows about a group beyond what cluster.Group says,
// for Sight.Template. The zero value is ready: it knows nothing more.
type Known struct {
	// kinds are the group's types; empty: the group's own template and type.
	kinds []kind
	// floating says that instances of one launch template version may be of
	// different images, those of images.
	floating bool
	images   map[cluster.InstanceID]image
	memory   *memory // of the group
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
	old := c.Known(g.Name)
	known := Known{kinds: kinds, floating: floating, memory: old.memory}
	if known.memory == nil {
		known.memory = &memory{}
		c.mu.Lock()
		known.memory.recallAll(c.recalled[g.Name])
		c.mu.Unlock()
	}
	if floating {
		before, ids := old.images, []string{}
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
	if len(ids) == 0 {
		return nil, nil
	}
	instances, err := c.o.Fleet.ByID(ctx, ids...)
	if err != nil {
		return nil, awsfleet.Answer(err)
	}
	found := make(map[cluster.InstanceID]image, len(instances))
	for _, i := range instances {
		found[i.ID] = image{i.ImageID, i.LaunchTime}
	}
	return found, nil
}

// tells returns a function that reports whether an instance shows what the group's
// next one will be like: it is of the same launch template version, and of the image
// that the newest such instance has. The image is empty where the version fixes it.
func (k Known) tells(g *cluster.Group) (string, func(cluster.Instance) bool) {
	version := g.LaunchTemplateVersion
	if !k.floating {
		return "", func(i cluster.Instance) bool { return i.LaunchTemplateVersion == version }
	}
	var newest image
	for _, i := range g.Instances {
		if im, ok := k.images[i.ID]; ok && i.LaunchTemplateVersion == version && (newest.id == "" || im.at.After(newest.at)) {
			newest = im
		}
	}
	return newest.id, func(i cluster.Instance) bool {
		im, ok := k.images[i.ID]
		return ok && i.LaunchTemplateVersion == version && im.id == newest.id
	}
}
