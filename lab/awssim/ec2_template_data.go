package awssim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// templateFields are the members of launch template data that the simulation
// knows.
const templateFields = "ImageId InstanceType UserData KeyName SecurityGroupId IamInstanceProfile MetadataOptions TagSpecification BlockDeviceMapping InstanceInitiatedShutdownBehavior"

// readTemplateData reads RequestLaunchTemplateData.
func readTemplateData(f form) (LaunchTemplateData, error) {
	var d LaunchTemplateData
	if len(f) == 0 {
		return d, missing("ec2", "LaunchTemplateData")
	}
	for _, name := range f.topLevel() {
		if !hasWord(templateFields, name) {
			return d, notSimulated("ec2", "launch template", "LaunchTemplateData."+name)
		}
	}
	return readLaunchData(f)
}

// readLaunchData reads what launch template data and RunInstances have in common.
func readLaunchData(f form) (LaunchTemplateData, error) {
	d := LaunchTemplateData{
		ImageID: f.str("ImageId"), InstanceType: f.str("InstanceType"), UserData: f.str("UserData"), KeyName: f.str("KeyName"),
		RoleName: f.str("IamInstanceProfile.Name"), ProfileARN: f.str("IamInstanceProfile.Arn"),
		SecurityGroupIDs: f.strs("SecurityGroupId"), ShutdownBehavior: f.str("InstanceInitiatedShutdownBehavior"),
		HTTPTokens: f.str("MetadataOptions.HttpTokens"), HTTPEndpoint: f.str("MetadataOptions.HttpEndpoint"),
		InstanceMetadataTags: f.str("MetadataOptions.InstanceMetadataTags"),
	}
	var err error
	if d.HopLimit, _, err = f.integer("ec2", "MetadataOptions.HttpPutResponseHopLimit"); err != nil {
		return d, err
	}
	if f.has("MetadataOptions.HttpPutResponseHopLimit") && (d.HopLimit < 1 || d.HopLimit > 64) {
		return d, fail("InvalidParameterValue", "Value (%d) for parameter HttpPutResponseHopLimit is invalid. Expecting a value between 1 and 64.", d.HopLimit)
	}
	tags, err := readTagSpecifications(f, "instance", "volume", "network-interface")
	if err != nil {
		return d, err
	}
	d.InstanceTags, d.VolumeTags, d.InterfaceTags = tags["instance"], tags["volume"], tags["network-interface"]
	d.BlockDevices, err = readBlockDevices(f)
	return d, err
}

// inherit fills what d leaves unset from an older version.
func (d LaunchTemplateData) inherit(from LaunchTemplateData) LaunchTemplateData {
	setDefault(&d.ImageID, from.ImageID)
	setDefault(&d.InstanceType, from.InstanceType)
	setDefault(&d.UserData, from.UserData)
	if d.RoleName == "" && d.ProfileARN == "" {
		d.RoleName, d.ProfileARN = from.RoleName, from.ProfileARN
	}
	setDefault(&d.KeyName, from.KeyName)
	setDefault(&d.HTTPTokens, from.HTTPTokens)
	setDefault(&d.HTTPEndpoint, from.HTTPEndpoint)
	setDefault(&d.HopLimit, from.HopLimit)
	setDefault(&d.InstanceMetadataTags, from.InstanceMetadataTags)
	setDefault(&d.ShutdownBehavior, from.ShutdownBehavior)
	if d.SecurityGroupIDs == nil {
		d.SecurityGroupIDs = slices.Clone(from.SecurityGroupIDs)
	}
	if d.InstanceTags == nil && d.VolumeTags == nil && d.InterfaceTags == nil {
		d.InstanceTags, d.VolumeTags, d.InterfaceTags = maps.Clone(from.InstanceTags), maps.Clone(from.VolumeTags), maps.Clone(from.InterfaceTags)
	}
	if d.BlockDevices == nil {
		d.BlockDevices = slices.Clone(from.BlockDevices)
	}
	return d
}

// nodes writes ResponseLaunchTemplateData.
func (d LaunchTemplateData) nodes() []node {
	n := []node{
		el("imageId", d.ImageID), el("instanceType", d.InstanceType), el("userData", d.UserData), el("keyName", d.KeyName),
		el("instanceInitiatedShutdownBehavior", d.ShutdownBehavior),
	}
	if d.RoleName != "" || d.ProfileARN != "" {
		n = append(n, el("iamInstanceProfile", []node{el("name", d.RoleName), el("arn", d.ProfileARN)}))
	}
	if len(d.SecurityGroupIDs) > 0 {
		n = append(n, elList("securityGroupIdSet", "item", d.SecurityGroupIDs, func(s string) any { return s }))
	}
	hops := ""
	if d.HopLimit > 0 {
		hops = strconv.Itoa(d.HopLimit)
	}
	if d.HTTPTokens+d.HTTPEndpoint+d.InstanceMetadataTags+hops != "" {
		n = append(n, el("metadataOptions", []node{
			el("httpTokens", d.HTTPTokens), el("httpEndpoint", d.HTTPEndpoint), el("httpPutResponseHopLimit", hops),
			el("instanceMetadataTags", d.InstanceMetadataTags),
		}))
	}
	var specs []node
	for _, s := range []struct {
		kind string
		tags map[string]string
	}{{"instance", d.InstanceTags}, {"volume", d.VolumeTags}, {"network-interface", d.InterfaceTags}} {
		if len(s.tags) > 0 {
			specs = append(specs, el("item", []node{el("resourceType", s.kind), tagNodes("tagSet", s.tags)}))
		}
	}
	if specs != nil {
		n = append(n, el("tagSpecificationSet", specs))
	}
	if len(d.BlockDevices) > 0 {
		n = append(n, deviceNodes(d.BlockDevices))
	}
	return n
}

// versionRow is one line of DescribeLaunchTemplateVersions.
type versionRow struct {
	t *launchTemplate
	v templateVersion
}

// versionRowsLocked picks the versions that a request names: of one template,
// newest first unless named; or, without a template, the latest or default one
// of every template.
func (w *World) versionRowsLocked(f form) (rows []versionRow, err error) {
	refs := f.strs("LaunchTemplateVersion")
	var templates []*launchTemplate
	if f.str("LaunchTemplateId")+f.str("LaunchTemplateName") != "" {
		t, err := w.findTemplateLocked(f)
		if err != nil {
			return nil, err
		}
		templates = append(templates, t)
	} else {
		if len(refs) == 0 || slices.ContainsFunc(refs, func(r string) bool { return !strings.HasPrefix(r, "$") }) {
			return nil, fail("MissingParameter", "Either a launch template ID or a launch template name must be specified in the request, unless only $Latest or $Default versions are.")
		}
		for _, id := range slices.Sorted(maps.Keys(w.templates)) {
			templates = append(templates, w.templates[id])
		}
	}
	for _, t := range templates {
		for _, r := range refs {
			v, err := t.version(r)
			if err != nil {
				return nil, err
			}
			rows = append(rows, versionRow{t, v})
		}
		if len(refs) > 0 {
			continue
		}
		for _, v := range slices.Backward(t.versions) {
			if within(v.number, f.str("MinVersion"), f.str("MaxVersion")) {
				rows = append(rows, versionRow{t, v})
			}
		}
	}
	return rows, nil
}

func (w *World) describeTemplateVersions(req *request) (any, error) {
	rows, err := w.versionRowsLocked(req.form)
	if err != nil {
		return nil, err
	}
	size, err := pageSize(req, "LaunchTemplateVersion", 1, 200)
	if err != nil {
		return nil, err
	}
	part, next, ok := page(rows, req.form.str("NextToken"), size)
	if !ok {
		return nil, badToken()
	}
	return []node{
		elList("launchTemplateVersionSet", "item", part, func(r versionRow) any { return r.t.versionNodes(r.v) }),
		el("nextToken", next),
	}, nil
}

func within(n int64, least, most string) bool {
	if m, err := strconv.ParseInt(least, 10, 64); err == nil && n < m {
		return false
	}
	m, err := strconv.ParseInt(most, 10, 64)
	return err != nil || n <= m
}
