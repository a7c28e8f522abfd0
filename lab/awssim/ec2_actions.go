package awssim

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

func ec2Actions() map[string]action {
	const list = "Filter MaxResults NextToken "
	return map[string]action{
		"DescribeInstances":              {(*World).describeInstances, list + "InstanceId"},
		"DescribeInstanceStatus":         {(*World).describeInstanceStatus, list + "InstanceId IncludeAllInstances"},
		"TerminateInstances":             {(*World).terminateInstances, "InstanceId"},
		"StopInstances":                  {(*World).stopInstances, "InstanceId Force"},
		"StartInstances":                 {(*World).startInstances, "InstanceId"},
		"RebootInstances":                {(*World).rebootInstances, "InstanceId"},
		"CreateTags":                     {(*World).createTags, "ResourceId Tag"},
		"DeleteTags":                     {(*World).deleteTags, "ResourceId Tag"},
		"DescribeInstanceTypes":          {(*World).describeInstanceTypes, list + "InstanceType"},
		"DescribeAvailabilityZones":      {(*World).describeZones, "Filter ZoneName ZoneId AllAvailabilityZones"},
		"DescribeSubnets":                {(*World).describeSubnets, list + "SubnetId"},
		"CreateLaunchTemplate":           {(*World).createTemplate, "LaunchTemplateName LaunchTemplateData VersionDescription TagSpecification"},
		"CreateLaunchTemplateVersion":    {(*World).createTemplateVersion, "LaunchTemplateId LaunchTemplateName LaunchTemplateData SourceVersion VersionDescription"},
		"ModifyLaunchTemplate":           {(*World).modifyTemplate, "LaunchTemplateId LaunchTemplateName SetDefaultVersion"},
		"DescribeLaunchTemplates":        {(*World).describeTemplates, list + "LaunchTemplateId LaunchTemplateName"},
		"DescribeLaunchTemplateVersions": {(*World).describeTemplateVersions, "MaxResults NextToken LaunchTemplateId LaunchTemplateName LaunchTemplateVersion MinVersion MaxVersion"},
	}
}

var instanceID = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// namedInstancesLocked finds the instances of a request; one unknown id fails
// the whole call, as in EC2.
func (w *World) namedInstancesLocked(req *request) ([]*instance, error) {
	var out []*instance
	var unknown []string
	for _, id := range req.form.strs("InstanceId") {
		if !instanceID.MatchString(id) {
			return nil, fail("InvalidInstanceID.Malformed", "Invalid id: %q", id)
		}
		i := w.instances[id]
		if i == nil || w.lateLocked(i, func(f Fault) time.Duration { return f.LateDescribe }) {
			unknown = append(unknown, id)
			continue
		}
		out = append(out, i)
	}
	if len(unknown) == 1 {
		return nil, fail("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", unknown[0])
	}
	if len(unknown) > 1 {
		return nil, fail("InvalidInstanceID.NotFound", "The instance IDs '%s' do not exist", strings.Join(unknown, ", "))
	}
	return out, nil
}

// pageSize reads MaxResults, which EC2 does not combine with ids.
func pageSize(req *request, idParam string, least, most int) (int, error) {
	n, given, err := req.form.integer("ec2", "MaxResults")
	switch {
	case err != nil:
		return 0, err
	case !given:
		return most, nil
	case len(req.form.strs(idParam)) > 0:
		return 0, fail("InvalidParameterCombination", "The parameter %ss cannot be used with the parameter maxResults", idParam)
	case n < least || n > most:
		return 0, fail("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and %d.", n, least, most)
	}
	return n, nil
}

func badToken() error {
	return fail("InvalidNextToken", "The token is invalid.")
}

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
	if i := w.instances[id]; i != nil {
		return i.Tags, nil
	}
	if t := w.templates[id]; t != nil {
		return t.tags, nil
	}
	if slices.ContainsFunc(w.subnets, func(s subnet) bool { return s.id == id }) || id == w.VPCID {
		if w.tags[id] == nil {
			w.tags[id] = map[string]string{}
		}
		return w.tags[id], nil
	}
	if strings.HasPrefix(id, "i-") {
		return nil, fail("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
	}
	return nil, fail("InvalidID", "The ID '%s' is not valid", id)
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
