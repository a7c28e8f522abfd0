package awssim

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// putTag sets a group's tag; tags stay sorted by key.
func (g *group) putTag(t Tag) error {
	if t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256 {
		return fail("ValidationError", "1 validation error detected: Value '%s' at 'tags.1.member.key' failed to satisfy constraint: Member must have length between 1 and 128", t.Key)
	}
	if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
		return fail("ValidationError", "aws: prefixed tag key names are not allowed for external use.")
	}
	g.tags = slices.DeleteFunc(slices.Clone(g.tags), func(o Tag) bool { return o.Key == t.Key })
	g.tags = append(g.tags, t)
	slices.SortFunc(g.tags, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
	return nil
}

// tagTargetLocked finds the group of a tag in a request.
func (w *World) tagTargetLocked(t form) (*group, error) {
	if kind := t.str("ResourceType"); kind != "" && kind != "auto-scaling-group" {
		return nil, fail("ValidationError", "The resource type %s is not supported", kind)
	}
	g := w.groups[t.str("ResourceId")]
	if g == nil {
		return nil, fail("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup '%s' not found", t.str("ResourceId"))
	}
	return g, nil
}

// putGroupTags sets tags on groups; instances that already run do not get them.
func (w *World) putGroupTags(req *request) (any, error) {
	for _, t := range req.form.list("Tags.member") {
		g, err := w.tagTargetLocked(t)
		if err != nil {
			return nil, err
		}
		if err := g.putTag(Tag{Key: t.str("Key"), Value: t.str("Value"), Propagate: t.str("PropagateAtLaunch") == "true"}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (w *World) deleteGroupTags(req *request) (any, error) {
	for _, t := range req.form.list("Tags.member") {
		g, err := w.tagTargetLocked(t)
		if err != nil {
			return nil, err
		}
		g.tags = slices.DeleteFunc(slices.Clone(g.tags), func(o Tag) bool { return o.Key == t.str("Key") })
	}
	return nil, nil
}

func tagDescription(g *group, t Tag) []node {
	return []node{
		el("ResourceId", g.name), el("ResourceType", "auto-scaling-group"), elText("Key", t.Key), elText("Value", t.Value),
		el("PropagateAtLaunch", t.Propagate),
	}
}

func (w *World) describeGroupTags(req *request) (any, error) {
	size, err := recordSize(req, 50, 100)
	if err != nil {
		return nil, err
	}
	var all []any
	for _, name := range slices.Sorted(maps.Keys(w.groups)) {
		g := w.groups[name]
		for _, t := range g.tags {
			ok, err := tagPasses(g, t, req.form.filters())
			if err != nil {
				return nil, err
			}
			if ok {
				all = append(all, tagDescription(g, t))
			}
		}
	}
	part, next, ok := page(all, req.form.str("NextToken"), size)
	if !ok {
		return nil, badGroupToken()
	}
	return []node{
		elList("Tags", "member", part, func(n any) any { return n }),
		el("NextToken", next),
	}, nil
}

func tagPasses(g *group, t Tag, filters []filter) (bool, error) {
	propagate := "false"
	if t.Propagate {
		propagate = "true"
	}
	for _, f := range filters {
		have, known := map[string]string{
			"auto-scaling-group": g.name, "key": t.Key, "value": t.Value, "propagate-at-launch": propagate,
		}[f.name]
		if !known {
			return false, fail("ValidationError", "Filter type %s is not correct. Allowed Filter types are: auto-scaling-group, key, value, propagate-at-launch", f.name)
		}
		if !slices.Contains(f.values, have) {
			return false, nil
		}
	}
	return true, nil
}
