package awssim

import (
	"maps"
	"slices"
	"strings"
)

// tagNodes writes tags in EC2's form, sorted by key.
func tagNodes(name string, tags map[string]string) node {
	if len(tags) == 0 {
		return node{}
	}
	return elList(name, "item", slices.Sorted(maps.Keys(tags)), func(k string) any {
		return []node{elText("key", k), elText("value", tags[k])}
	})
}

// readTags reads Tag.N.Key and Tag.N.Value.
func readTags(f form) (map[string]string, error) {
	tags := map[string]string{}
	for _, t := range f.list("Tag") {
		if strings.HasPrefix(strings.ToLower(t.str("Key")), "aws:") {
			return nil, fail("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		}
		tags[t.str("Key")] = t.str("Value")
	}
	return tags, nil
}

// resourceTagsLocked finds the tags of a resource that exists.
func (w *World) resourceTagsLocked(id string) (map[string]string, error) {
	if tags, ok := w.ownTagsLocked(id); ok {
		return tags, nil
	}
	if w.hasPartLocked(id) {
		if w.tags[id] == nil {
			w.tags[id] = map[string]string{}
		}
		return w.tags[id], nil
	}
	switch prefix, _, _ := strings.Cut(id, "-"); prefix {
	case "i":
		return nil, fail("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
	case "ami":
		return nil, fail("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	case "snap":
		return nil, unknownSnapshot(id)
	case "vol":
		return nil, fail("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
	case "sg":
		return nil, unknownGroup(id)
	case "eni":
		return nil, fail("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
	default:
		return nil, fail("InvalidID", "The ID '%s' is not valid", id)
	}
}

// ownTagsLocked finds the tags of a resource that holds its own.
func (w *World) ownTagsLocked(id string) (map[string]string, bool) {
	if i := w.instances[id]; i != nil {
		return i.Tags, true
	}
	if t := w.templates[id]; t != nil {
		return t.tags, true
	}
	if m := w.images[id]; m != nil && m.Owner == w.AccountID && m.State != Deregistered {
		return m.Tags, true
	}
	if s := w.snapshots[id]; s != nil && s.owner == w.AccountID {
		return s.tags, true
	}
	if v := w.volumes[id]; v != nil {
		return v.tags, true
	}
	if g := w.securityGroups[id]; g != nil {
		return g.tags, true
	}
	for _, k := range w.keyPairs {
		if k.id == id {
			return k.tags, true
		}
	}
	return nil, false
}

// hasPartLocked reports that an id is of the VPC, of one of its subnets or of a network
// interface.
func (w *World) hasPartLocked(id string) bool {
	if id == w.VPCID || slices.ContainsFunc(w.subnets, func(s subnet) bool { return s.id == id }) {
		return true
	}
	for _, i := range w.instances {
		if i.State != Terminated && slices.ContainsFunc(i.Interfaces, func(e NetworkInterface) bool { return e.ID == id }) {
			return true
		}
	}
	return false
}

func (w *World) createTags(req *request) (any, error) {
	tags, err := readTags(req.form)
	if err != nil {
		return nil, err
	}
	var targets []map[string]string
	for _, id := range req.form.strs("ResourceId") {
		t, err := w.resourceTagsLocked(id)
		if err != nil {
			return nil, err
		}
		if i := w.instances[id]; i != nil {
			if err := checkMetadataTags(i.InstanceMetadataTags, tags); err != nil {
				return nil, err
			}
		}
		targets = append(targets, t)
	}
	for _, t := range targets {
		maps.Copy(t, tags)
	}
	return []node{el("return", true)}, nil
}

// checkMetadataTags holds the keys of an instance whose tags are in its
// metadata to what a URL path can carry.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html
func checkMetadataTags(option string, tags map[string]string) error {
	if option != "enabled" {
		return nil
	}
	for key := range tags {
		if strings.ContainsAny(key, " /") || key == "." || key == ".." || key == "_index" {
			return fail("InvalidParameterValue", "'%s' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{1,255}), and must not be a reserved name ('.', '..', '_index')", key)
		}
	}
	return nil
}

func (w *World) deleteTags(req *request) (any, error) {
	for _, id := range req.form.strs("ResourceId") {
		tags, err := w.resourceTagsLocked(id)
		if err != nil {
			return nil, err
		}
		for _, t := range req.form.list("Tag") {
			if value, given := t["Value"]; !given || tags[t.str("Key")] == value {
				delete(tags, t.str("Key"))
			}
		}
	}
	return []node{el("return", true)}, nil
}

// taggedLocked returns the tags of all resources, by id.
func (w *World) taggedLocked() map[string]map[string]string {
	out := maps.Clone(w.tags)
	for id, i := range w.instances {
		out[id] = i.Tags
	}
	for id, t := range w.templates {
		out[id] = t.tags
	}
	for id, m := range w.images {
		if m.Owner == w.AccountID && m.State != Deregistered {
			out[id] = m.Tags
		}
	}
	for id, s := range w.snapshots {
		out[id] = s.tags
	}
	for id, v := range w.volumes {
		out[id] = v.tags
	}
	for id, g := range w.securityGroups {
		out[id] = g.tags
	}
	for _, k := range w.keyPairs {
		out[k.id] = k.tags
	}
	return out
}

// tagRow is one line of DescribeTags.
type tagRow struct{ id, key, value string }

func (w *World) describeTags(req *request) (any, error) {
	rows := map[string]tagRow{}
	for id, tags := range w.taggedLocked() {
		for k, v := range tags {
			rows[id+" "+k] = tagRow{id, k, v}
		}
	}
	return describe(req, "", "tagSet", rows, nil, func(r tagRow, name string) ([]string, bool) {
		v, known := map[string]string{"key": r.key, "value": r.value, "resource-id": r.id, "resource-type": ec2Kind(r.id)}[name]
		return []string{v}, known
	}, func(r tagRow) []node {
		return []node{el("resourceId", r.id), el("resourceType", ec2Kind(r.id)), elText("key", r.key), elText("value", r.value)}
	})
}
