package asg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/launch"
)

// kind is one instance type of a group and the node that an instance of it
// becomes.
type kind struct {
	name     string
	facts    TypeFacts // zero when not known
	template *cluster.Template
}

func typeNames(kinds []kind) []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

func templatesOf(kinds []kind) []*cluster.Template {
	var all []*cluster.Template
	for _, k := range kinds {
		all = append(all, k.template)
	}
	return all
}

// template finds out what a new node of the group looks like, for each type that
// the group may launch.
func (c *Client) template(ctx context.Context, g fleet.Group, maxAge time.Duration) (launch.Template, []kind, error) {
	from, err := sourceOf(g.Launch)
	if err != nil {
		return launch.Template{}, nil, err
	}
	lt, err := c.o.Templates.Get(ctx, from.template, maxAge)
	if err != nil {
		return launch.Template{}, nil, err
	}
	kinds, err := c.kinds(ctx, g, lt, from.types)
	if err != nil {
		return launch.Template{}, kinds, fmt.Errorf("launch template %s version %s: %w", lt.ID, lt.Version, err)
	}
	return lt, kinds, nil
}

// kinds describes the group's types. On an error it names them all the same, if
// they are known.
func (c *Client) kinds(ctx context.Context, g fleet.Group, lt launch.Template, names []string) ([]kind, error) {
	if len(names) == 0 {
		if lt.Requirements {
			return nil, errors.New("instanceRequirements: types chosen by attributes are not supported")
		}
		if lt.InstanceType == "" {
			return nil, errors.New("instanceType: required, neither launch template nor group names one")
		}
		names = []string{lt.InstanceType}
	}
	facts := make([]TypeFacts, 0, len(names))
	kinds := make([]kind, 0, len(names))
	for _, name := range names {
		kinds = append(kinds, kind{name: name})
	}
	for _, name := range names {
		f, err := c.types.get(ctx, name)
		if err != nil {
			return kinds, fmt.Errorf("instanceType: %w", err)
		}
		facts = append(facts, f)
	}
	nc, err := lt.NodeConfig(&g, c.o.Cluster)
	if err != nil {
		return kinds, fmt.Errorf("userData: %w", err)
	}
	// All of them first: types that cannot be one group are an error.
	tags := g.Tags
	if _, err := Template(Facts{Types: facts, RootGiB: lt.RootGiB}, nc, tags); err != nil {
		return kinds, err
	}
	for i := range kinds {
		kinds[i].facts = facts[i]
		if kinds[i].template, err = Template(Facts{Types: facts[i : i+1], RootGiB: lt.RootGiB}, nc, tags); err != nil {
			return kinds, err
		}
	}
	return kinds, nil
}

// combine is the node that can be counted on whichever of the templates AWS
// picks: the least of each resource that all have, and the labels and their
// values that all have, and the pods of all. The taints are the same in all of them.
func combine(all []*cluster.Template) *cluster.Template {
	if len(all) == 1 {
		return all[0]
	}
	out := *all[0]
	for _, t := range all[1:] {
		out.Capacity = common(out.Capacity, t.Capacity)
		out.Allocatable = common(out.Allocatable, t.Allocatable)
		out.Labels = agreed(out.Labels, t.Labels)
		out.AttachLimits = leastLimits(out.AttachLimits, t.AttachLimits)
		out.NodePods = mostPods(out.NodePods, t.NodePods)
	}
	return &out
}

// common holds the lesser amount of each resource that both lists have.
func common(a, b corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range a {
		other, ok := b[name]
		if !ok {
			continue
		}
		if other.Cmp(q) < 0 {
			q = other
		}
		out[name] = q.DeepCopy()
	}
	return out
}

// agreed holds the labels that are the same in both maps.
func agreed(a, b map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range a {
		if other, ok := b[key]; ok && other == value {
			out[key] = value
		}
	}
	return out
}

// leastLimits holds the lesser limit of each driver; one that only one side knows
// bounds both.
func leastLimits(a, b map[string]int32) map[string]int32 {
	if len(a)+len(b) == 0 {
		return nil
	}
	out := maps.Clone(a)
	if out == nil {
		out = map[string]int32{}
	}
	for driver, n := range b {
		if have, ok := out[driver]; !ok || n < have {
			out[driver] = n
		}
	}
	return out
}
