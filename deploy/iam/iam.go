// Package iam holds the AWS policies of every role that has to do with Joinery, and
// the policies on the resources that it shares with AWS. README.md has the reason for
// each permission.
package iam

import (
	"embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.json
var files embed.FS

// Values stand for the placeholders ${…} of a policy.
type Values struct {
	// Partition is aws, aws-cn or aws-us-gov; that of the region if empty.
	Partition string
	// Region, Account and Cluster that the role is for.
	Region, Account, Cluster string
	// KMSKeyARN is the key that encrypts the join bundle, or images.
	KMSKeyARN string
	// Queue is the name of the queue of lifecycle events.
	Queue string
	// Group is the name of an Auto Scaling group that spec.autoscaler.groups names.
	Group string
	// Parameter is the name of the parameter with the token for legacy user data.
	Parameter string
}

// Document is one policy that can be rendered.
type Document struct {
	// Name that Render takes.
	Name string
	// For says whose policy it is, and when it is needed.
	For string
	// file without its extension; the name if empty.
	file string
	// lateTags is the file for partitions where Packer tags what it makes only
	// afterwards.
	lateTags string
}

// Documents returns all policies, in the order in which a reader meets them.
func Documents() []Document {
	return []Document{
		{Name: "trust", For: "trust policy of the roles of nodes and control-plane nodes"},
		{Name: "node", For: "role of the workers"},
		{Name: "controller", For: "role of the control-plane nodes"},
		{Name: "controller-queue", For: "the same role, with spec.lifecycle.queueURL", file: "optional-queue"},
		{Name: "controller-group", For: "the same role, for a group of spec.autoscaler.groups that lacks the tag joinery:cluster", file: "optional-group"},
		{Name: "controller-legacy", For: "the same role, with spec.bundle.legacyTokenParameter", file: "optional-legacy"},
		{Name: "operator", For: "the people who run joinery and the commands of the guide"},
		{Name: "packer", For: "the builder of images", lateTags: "packer-late-tags"},
		{Name: "packer-key", For: "the same, for images under a key of their own", file: "optional-packer-key"},
		{Name: "packer-profile", For: "the same, with temporary_iam_instance_profile_policy_document", file: "optional-packer-profile"},
		{Name: "key-policy", For: "policy of the KMS key"},
		{Name: "queue-policy", For: "policy of the queue of lifecycle events"},
	}
}

// Render returns a policy by its document's name. An unknown name, values that are
// missing and values that could change the meaning of the policy are errors, all of
// them at once.
func Render(name string, v Values) (string, error) {
	for _, d := range Documents() {
		if d.Name == name {
			return d.render(v)
		}
	}
	return "", fmt.Errorf("render policy: unknown document %q", name)
}

// Node returns the policy of the nodes' role.
func Node(v Values) (string, error) { return Render("node", v) }

// Controller returns the policy of the masters' role, as far as
// joinery-controller needs it.
func Controller(v Values) (string, error) { return Render("controller", v) }

// Legacy returns what the masters' role needs besides while
// spec.bundle.legacyTokenParameter names that parameter.
func Legacy(v Values, parameter string) (string, error) {
	v.Parameter = parameter
	return Render("controller-legacy", v)
}

// Queue returns what the masters' role needs besides while
// spec.lifecycle.queueURL names the queue of that name.
func Queue(v Values, name string) (string, error) {
	v.Queue = name
	return Render("controller-queue", v)
}

// Group returns what the control-plane nodes' role needs in addition for a group of that name, which
// spec.autoscaler.groups names and which lacks the tag joinery:cluster.
func Group(v Values, name string) (string, error) {
	v.Group = name
	return Render("controller-group", v)
}

// PartitionOf returns the partition of a region.
func PartitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

// path is the document's file for a partition.
func (d Document) path(partition string) string {
	switch {
	case d.lateTags != "" && partition != "aws":
		return d.lateTags + ".json"
	case d.file != "":
		return d.file + ".json"
	default:
		return d.Name + ".json"
	}
}

var unsafeValue = regexp.MustCompile(`[^A-Za-z0-9:/._-]`)

var placeholder = regexp.MustCompile(`\$\{[A-Z_]+\}`)

// render replaces the placeholders that the document has, and wants no other value.
func (d Document) render(v Values) (string, error) {
	if v.Partition == "" {
		v.Partition = PartitionOf(v.Region)
	}
	text, err := files.ReadFile(d.path(v.Partition))
	if err != nil {
		return "", fmt.Errorf("render policy: %w", err)
	}
	values, suffix := v.replacements(), "amazonaws.com"
	if v.Partition == "aws-cn" {
		suffix = "amazonaws.com.cn"
	}
	values["${DNS_SUFFIX}"] = suffix
	var problems []error
	found := placeholder.FindAllString(string(text), -1)
	slices.Sort(found)
	for _, p := range slices.Compact(found) {
		if bad := unsafeValue.FindString(values[p]); bad != "" || values[p] == "" {
			problems = append(problems, fmt.Errorf("render policy: %s: %q: expected letters, digits, ':', '/', '.', '_' or '-'", p, values[p]))
		}
	}
	if slices.Contains(found, keyPlaceholder) {
		problems = append(problems, v.checkKey())
	}
	if slices.Contains(found, "${PARTITION}") {
		problems = append(problems, v.checkPartition())
	}
	if err := errors.Join(problems...); err != nil {
		return "", err
	}
	return placeholder.ReplaceAllStringFunc(string(text), func(p string) string { return values[p] }), nil
}

const keyPlaceholder = "${KMS_KEY_ARN}"

// checkKey holds that services of the region can use the key. A policy with another one
// would be taken by IAM and allow nothing.
func (v Values) checkKey() error {
	prefix := "arn:" + v.Partition + ":kms:" + v.Region + ":"
	rest, ok := strings.CutPrefix(v.KMSKeyARN, prefix)
	account, id, _ := strings.Cut(rest, ":key/")
	if ok && account != "" && id != "" && !strings.Contains(account, ":") {
		return nil
	}
	return fmt.Errorf("render policy: %s: %q: expected the ARN of a key, and no alias, of the region: %s<account>:key/<id>", keyPlaceholder, v.KMSKeyARN, prefix)
}

// checkPartition holds that the partition is the region's, as far as its name says.
func (v Values) checkPartition() error {
	if of := PartitionOf(v.Region); of != "aws" && of != v.Partition || !slices.Contains([]string{"aws", "aws-cn", "aws-us-gov"}, v.Partition) {
		return fmt.Errorf("render policy: ${PARTITION}: %q: expected that of the region %s, of aws, aws-cn and aws-us-gov", v.Partition, v.Region)
	}
	return nil
}

// replacements maps placeholders to their values.
func (v Values) replacements() map[string]string {
	return map[string]string{
		"${PARTITION}": v.Partition, "${REGION}": v.Region, "${ACCOUNT}": v.Account, "${CLUSTER}": v.Cluster,
		keyPlaceholder: v.KMSKeyARN, "${QUEUE}": v.Queue, "${GROUP}": v.Group,
		"${PARAMETER}": strings.TrimPrefix(v.Parameter, "/"), // an ARN has no second slash
	}
}
