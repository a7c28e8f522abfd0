package awssim

import (
	"slices"
	"strconv"
	"strings"
)

// ec2Resources names the parameters by which actions name the resources that they are
// on, beside those that make something. Describing is on nothing.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
var ec2Resources = map[string]string{
	"TerminateInstances": "InstanceId", "StopInstances": "InstanceId", "StartInstances": "InstanceId", "RebootInstances": "InstanceId",
	"ModifyInstanceAttribute": "InstanceId", "CreateTags": "ResourceId", "DeleteTags": "ResourceId",
	"CreateLaunchTemplateVersion": "LaunchTemplateId", "ModifyLaunchTemplate": "LaunchTemplateId",
	"DeregisterImage": "ImageId", "ModifyImageAttribute": "ImageId", "DeleteSnapshot": "SnapshotId", "DeleteVolume": "VolumeId",
	"AuthorizeSecurityGroupIngress": "GroupId", "DeleteSecurityGroup": "GroupId",
}

// ec2AccessesLocked lists what a request to EC2 needs.
func (w *World) ec2AccessesLocked(req *request) []access {
	switch req.action {
	case "RunInstances":
		return w.launchAccessesLocked(req)
	case "CreateLaunchTemplate":
		return w.makingLocked(req, "launch-template", w.arn("ec2", "launch-template/*"))
	case "CreateSecurityGroup":
		return append(w.makingLocked(req, "security-group", w.arn("ec2", "security-group/*")), w.onLocked(req, req.form.str("VpcId")))
	case "CreateKeyPair", "ImportKeyPair":
		return w.makingLocked(req, "key-pair", w.arn("ec2", "key-pair/"+req.form.str("KeyName")))
	case "DeleteKeyPair":
		return []access{w.keyPairAccessLocked(req)}
	case "CreateImage":
		made := append(w.makingLocked(req, "image", w.ec2ARN("ami-*")), w.makingLocked(req, "snapshot", w.ec2ARN("snap-*"))...)
		return append(made, w.onLocked(req, req.form.str("InstanceId")))
	}
	param, known := ec2Resources[req.action]
	if !known {
		return []access{on(req, "*", nil)}
	}
	var out []access
	for _, id := range w.namedLocked(req.form, param) {
		a := w.onLocked(req, id)
		if req.action == "CreateTags" {
			requestTags(a, req.form.list("Tag"))
		}
		out = append(out, a)
	}
	if len(out) == 0 {
		out = []access{on(req, w.arn("ec2", "*/*"), nil)}
	}
	return out
}

// namedLocked returns the ids that a request names, in a list or by one parameter.
func (w *World) namedLocked(f form, param string) []string {
	if t := w.templateNamedLocked(f.str("LaunchTemplateName")); t != nil && param == "LaunchTemplateId" {
		return []string{t.id}
	}
	if id := f.str(param); id != "" {
		return []string{id}
	}
	return f.strs(param)
}

// onLocked is an access to a resource. What there is not has no tags, and the action
// says so.
func (w *World) onLocked(req *request, id string) access {
	tags, err := w.resourceTagsLocked(id)
	if err != nil {
		tags = nil
	}
	return on(req, w.ec2ARN(id), tags, keyTag)
}

func requestTags(a access, tags []form) {
	for _, t := range tags {
		a.keys[keyRequestTag+t.str("Key")] = t.str("Value")
	}
}

// makingLocked is an access to what a request makes, and another to tag it where the
// request does.
func (w *World) makingLocked(req *request, kind, resource string) []access {
	making := on(req, resource, nil)
	out := []access{making}
	for _, s := range req.form.list("TagSpecification") {
		if s.str("ResourceType") != kind || len(s.list("Tag")) == 0 {
			continue
		}
		tagging := access{action: "ec2:CreateTags", resource: resource, keys: map[string]string{keyCreateAction: req.action}}
		requestTags(making, s.list("Tag"))
		requestTags(tagging, s.list("Tag"))
		out = append(out, tagging)
	}
	return out
}

// launchAccessesLocked lists what RunInstances uses and makes, and the role that it
// hands to an instance.
func (w *World) launchAccessesLocked(req *request) []access {
	f := req.form
	instances := w.makingLocked(req, "instance", w.arn("ec2", "instance/*"))
	tokens := f.str("MetadataOptions.HttpTokens")
	setDefault(&tokens, "required") // the account's default
	instances[0].keys[keyTokens] = tokens
	out := append(instances, w.makingLocked(req, "network-interface", w.arn("ec2", "network-interface/*"))...)
	out = append(out, on(req, w.ec2ARN(f.str("ImageId")), nil))
	for _, d := range w.launchedDevicesLocked(f) {
		volumes := w.makingLocked(req, "volume", w.arn("ec2", "volume/*"))
		volumes[0].keys[keyEncrypted] = strconv.FormatBool(isTrue(d.Encrypted))
		out = append(out, volumes...)
	}
	if name := f.str("KeyName"); name != "" {
		out = append(out, w.keyPairAccessLocked(req))
	}
	ids := append(f.strs("SecurityGroupId"), f.str("SubnetId"))
	for _, e := range f.list("NetworkInterface") {
		ids = append(append(ids, e.strs("SecurityGroupId")...), e.str("SubnetId"))
	}
	for _, id := range slices.DeleteFunc(ids, func(id string) bool { return id == "" }) {
		out = append(out, w.onLocked(req, id))
	}
	if role := w.profileRole(LaunchTemplateData{RoleName: f.str("IamInstanceProfile.Name"), ProfileARN: f.str("IamInstanceProfile.Arn")}); role != "" {
		out = append(out, w.passing(role))
	}
	return out
}

// launchedDevicesLocked returns the volumes that a launch makes. A request that is not
// understood makes none, and the action refuses it.
func (w *World) launchedDevicesLocked(f form) []BlockDevice {
	changes, err := readBlockDevices(f)
	m := w.images[f.str("ImageId")]
	if err != nil || m == nil {
		return nil
	}
	devices, err := override(m.BlockDevices, changes)
	if err != nil {
		return nil
	}
	return devices
}

// keyPairAccessLocked is on a key pair, which policies know by name.
func (w *World) keyPairAccessLocked(req *request) access {
	name := req.form.str("KeyName")
	for _, k := range w.keyPairs {
		if k.id == req.form.str("KeyPairId") {
			name = k.name
		}
	}
	var tags map[string]string
	if k := w.keyPairs[name]; k != nil {
		tags = k.tags
	}
	return on(req, w.arn("ec2", "key-pair/"+name), tags, keyTag)
}

// ec2ARN is the ARN of an id. Images and snapshots are of no account in it.
func (w *World) ec2ARN(id string) string {
	kind := ec2Kind(id)
	switch {
	case strings.HasSuffix(id, "-*"):
		id = "*"
	case kind == "key-pair":
		for name, k := range w.keyPairs {
			if k.id == id {
				id = name
			}
		}
	}
	if kind == "image" || kind == "snapshot" {
		return "arn:" + w.Partition() + ":ec2:" + w.Region + "::" + kind + "/" + id
	}
	return w.arn("ec2", kind+"/"+id)
}

// ec2Kind is the resource type in the ARN of an id.
func ec2Kind(id string) string {
	prefix, _, _ := strings.Cut(id, "-")
	kind := map[string]string{
		"i": "instance", "lt": "launch-template", "subnet": "subnet", "vpc": "vpc", "ami": "image", "snap": "snapshot", "vol": "volume",
		"sg": "security-group", "eni": "network-interface", "key": "key-pair",
	}[prefix]
	setDefault(&kind, "*")
	return kind
}
