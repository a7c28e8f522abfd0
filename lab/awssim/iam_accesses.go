package awssim

import (
	"encoding/json"
	"strings"
)

// accessesLocked lists what a request needs: its action on each resource that
// it names, with the condition keys that AWS gives that action.
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
func (w *World) accessesLocked(req *request) ([]access, error) {
	switch req.service {
	case "ssm":
		return w.parameterAccessesLocked(req)
	case "kms":
		return w.keyAccessesLocked(req)
	case "autoscaling":
		return w.groupAccessesLocked(req), nil
	case "sqs":
		return w.queueAccessesLocked(req)
	case "iam":
		return w.iamAccessesLocked(req), nil
	case "sts":
		return []access{on(req, req.form.str("RoleArn"), nil)}, nil
	default:
		return w.ec2AccessesLocked(req), nil
	}
}

// on is an access to a resource with tags.
func on(req *request, resource string, tags map[string]string, tagKeys ...string) access {
	a := access{action: req.service + ":" + req.action, resource: resource, keys: map[string]string{}}
	for _, family := range tagKeys {
		for k, v := range tags {
			a.keys[family+k] = v
		}
	}
	return a
}

// peek reads the members of a JSON request that decide about resources. A body
// that is no JSON is refused here, as the action would refuse it.
func peek[T any](req *request) (T, error) {
	var in T
	if len(req.body) == 0 {
		return in, nil
	}
	if err := json.Unmarshal(req.body, &in); err != nil {
		return in, fail("SerializationException", "%v", err)
	}
	return in, nil
}

func (w *World) parameterAccessesLocked(req *request) ([]access, error) {
	if req.action == "DescribeParameters" {
		return []access{on(req, w.arn("ssm", "*"), nil)}, nil
	}
	in, err := peek[struct {
		Name      string
		Names     []string
		Overwrite bool
		Tags      []any
	}](req)
	if err != nil {
		return nil, err
	}
	names := in.Names
	if len(names) == 0 {
		names = []string{in.Name}
	}
	var out []access
	for _, ref := range names {
		name, _ := w.splitSelector(ref)
		var tags map[string]string
		if p := w.params[name]; p != nil {
			tags = p.tags
		}
		a := on(req, w.parameterARN(name), tags, keyTag)
		if req.action == "PutParameter" {
			a.keys[keyOverwrite] = map[bool]string{true: "true", false: "false"}[in.Overwrite]
		}
		out = append(out, a)
		if len(in.Tags) > 0 {
			tagging := on(req, a.resource, tags, keyTag)
			tagging.action = "ssm:AddTagsToResource"
			out = append(out, tagging)
		}
	}
	return out, nil
}

func (w *World) keyAccessesLocked(req *request) ([]access, error) {
	in, err := peek[struct {
		KeyId, TargetKeyId, AliasName string
		CiphertextBlob                []byte
		EncryptionContext             map[string]string
	}](req)
	if err != nil {
		return nil, err
	}
	switch req.action {
	case "CreateKey":
		return []access{on(req, "*", nil)}, nil
	case "CreateAlias":
		k, err := w.findKeyLocked(in.TargetKeyId)
		if err != nil {
			return nil, err
		}
		return []access{on(req, w.arn("kms", in.AliasName), nil), on(req, k.arn, nil)}, nil
	}
	var k *kmsKey
	if req.action == "Decrypt" {
		k = w.sealedByLocked(in.CiphertextBlob)
		if k == nil {
			return nil, fail("InvalidCiphertextException", "")
		}
	} else if k, err = w.findKeyLocked(in.KeyId); err != nil {
		return nil, err
	}
	return []access{keyAccess(req.action, k, in.EncryptionContext)}, nil
}

func keyAccess(action string, k *kmsKey, context map[string]string) access {
	a := access{action: "kms:" + action, resource: k.arn, keys: map[string]string{}}
	for name, value := range context {
		a.keys[keyContext+name] = value
	}
	return a
}

// throughSSMLocked checks what SSM does with a key for a caller, which KMS
// takes as the caller's own doing. The key that AWS manages for SSM is open to
// all in the account.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
func (w *World) throughSSMLocked(req *request, action string, k *kmsKey, parameter string) error {
	a := keyAccess(action, k, w.parameterContext(parameter))
	a.keys[keyViaService] = "ssm." + w.Region + "." + w.dnsSuffix()
	return w.permitLocked(req, a, k.manager == "AWS")
}

// groupAccessesLocked: all that changes a group is on the group, and all that
// describes is on nothing.
func (w *World) groupAccessesLocked(req *request) []access {
	if strings.HasPrefix(req.action, "Describe") {
		return []access{on(req, "*", nil)}
	}
	var names []string
	switch req.action {
	case "CreateOrUpdateTags", "DeleteTags":
		for _, t := range req.form.list("Tags.member") {
			names = append(names, t.str("ResourceId"))
		}
	case "TerminateInstanceInAutoScalingGroup":
		if g, _ := w.memberByIDLocked(req.form.str("InstanceId")); g != nil {
			names = append(names, g.name)
		}
	default:
		names = append(names, req.form.str("AutoScalingGroupName"))
	}
	if len(names) == 0 {
		names = []string{""} // of no group that there is
	}
	var out []access
	for _, name := range names {
		out = append(out, w.groupAccessLocked(req, name))
	}
	return out
}

// groupAccessLocked is on a group; one that does not exist has no id and no tags.
func (w *World) groupAccessLocked(req *request, name string) access {
	g := w.groups[name]
	if g == nil {
		return on(req, w.arn("autoscaling", "autoScalingGroup:*:autoScalingGroupName/"+name), nil)
	}
	tags := map[string]string{}
	for _, t := range g.tags {
		tags[t.Key] = t.Value
	}
	return on(req, w.groupARN(name), tags, keyTag, keyGroupTag)
}
