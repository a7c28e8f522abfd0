package iam_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/lab/awssim"
)

// bakes are the actions that packer-plugin-amazon v1.8.2 takes in a build with the
// amazon-ebs builder, by the steps of its source. Packer is no part of this tree, so
// they are listed by hand.
var bakes = map[string]string{
	"ec2:DescribeRegions":               "StepPreValidate: is the region one",
	"ec2:DescribeImages":                "StepSourceAMIInfo, and waiting for the image",
	"ec2:DescribeVpcs":                  "StepNetworkInfo",
	"ec2:DescribeSubnets":               "StepNetworkInfo",
	"ec2:DescribeInstanceTypeOfferings": "StepNetworkInfo: zones that have the type",
	"ec2:CreateKeyPair":                 "StepKeyPair",
	"ec2:DeleteKeyPair":                 "StepKeyPair, cleanup",
	"ec2:CreateSecurityGroup":           "StepSecurityGroup",
	"ec2:DescribeSecurityGroups":        "StepSecurityGroup waits for it",
	"ec2:AuthorizeSecurityGroupIngress": "StepSecurityGroup",
	"ec2:DeleteSecurityGroup":           "StepSecurityGroup, cleanup",
	"ec2:DescribeVolumes":               "StepCleanupVolumes",
	"ec2:DeleteVolume":                  "StepCleanupVolumes",
	"ec2:RunInstances":                  "StepRunSourceInstance",
	"ec2:CreateTags":                    "StepRunSourceInstance, StepCreateTags, and tags at creation",
	"ec2:DescribeInstances":             "StepRunSourceInstance waits",
	"ec2:TerminateInstances":            "StepRunSourceInstance, cleanup",
	"ec2:StopInstances":                 "StepStopEBSBackedInstance",
	"ec2:CreateImage":                   "stepCreateAMI",
	"ec2:DeregisterImage":               "stepCreateAMI, cleanup of a build that failed",
	"ec2:DeleteSnapshot":                "the same",
	"ec2:ModifyImageAttribute":          "StepModifyAMIAttributes: description and imds_support",
}

func TestPackerMayTakeTheStepsOfABuild(t *testing.T) {
	want := slices.Sorted(maps.Keys(bakes))
	for _, region := range partitions {
		v := all(region)
		got := slices.Sorted(maps.Keys(allowed(load(t, func(iam.Values) (string, error) { return iam.Render("packer", v) }))))
		if !slices.Equal(got, want) {
			t.Errorf("%s: policy allows\n%q, the builder calls\n%q", region, got, want)
		}
	}
}

// request is one that the simulated AWS judges by a role's policies. A resource that is
// no ARN is one of EC2, and one that begins with a colon is of no account.
type request struct {
	action, resource string
	keys             map[string]string
	may              bool
}

type keys = map[string]string

const (
	requestTag  = "aws:RequestTag/joinery:build"
	resourceTag = "aws:ResourceTag/joinery:build"
)

// judge attaches documents to a role of a new world, and holds requests to them.
func judge(t *testing.T, region string, requests []request, documents ...string) {
	t.Helper()
	w := &awssim.World{Region: region}
	t.Cleanup(w.Close)
	v := all(region)
	for _, d := range documents {
		text, err := iam.Render(d, v)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.AttachPolicy("builder", text); err != nil {
			t.Fatal(err)
		}
	}
	arn := "arn:" + iam.PartitionOf(region) + ":ec2:" + region + ":"
	for _, r := range requests {
		resource := r.resource
		switch {
		case resource == "*":
		case strings.HasPrefix(resource, ":"): // an image or a snapshot, which are of no account
			resource = arn + resource
		case !strings.HasPrefix(resource, "arn:"):
			resource = arn + v.Account + ":" + resource
		}
		if got := w.Simulate("builder", r.action, resource, r.keys); got != r.may {
			t.Errorf("%s: %s on %s with %v: allowed %t, want %t", region, r.action, resource, r.keys, got, r.may)
		}
	}
	if unused := w.UnusedPermissions("builder"); len(unused) > 0 {
		t.Errorf("%s: allowed and tried by nothing here: %q", region, unused)
	}
}

// builds are the requests of a build in every partition, and those that reach further.
func builds() []request {
	tagged := keys{resourceTag: "image"}
	out := []request{
		{"ec2:CreateKeyPair", "key-pair/packer_1", nil, true},
		{"ec2:CreateKeyPair", "key-pair/operator", nil, false},
		{"ec2:DeleteKeyPair", "key-pair/packer_1", nil, true},
		{"ec2:DeleteKeyPair", "key-pair/operator", nil, false},
		{"ec2:CreateSecurityGroup", "vpc/vpc-1", nil, true},
		{"ec2:RunInstances", "instance/*", keys{requestTag: "image"}, false}, // without IMDSv2
		{"ec2:RunInstances", "network-interface/*", nil, true},
		{"ec2:RunInstances", ":image/ami-1", nil, true},
		{"ec2:RunInstances", "key-pair/packer_1", nil, true},
		{"ec2:RunInstances", "key-pair/operator", nil, false},
		{"ec2:RunInstances", "security-group/sg-1", nil, true},
		{"ec2:RunInstances", "subnet/subnet-1", nil, true},
		{"ec2:RunInstances", "volume/*", keys{"ec2:Encrypted": "true"}, true},
		{"ec2:RunInstances", "volume/*", keys{"ec2:Encrypted": "false"}, false},
		{"ec2:StopInstances", "instance/i-1", tagged, true},
		{"ec2:StopInstances", "instance/i-2", nil, false},
		{"ec2:TerminateInstances", "instance/i-1", tagged, true},
		{"ec2:TerminateInstances", "instance/i-2", keys{"aws:ResourceTag/joinery:cluster": "demo"}, false},
		{"ec2:CreateImage", "instance/i-1", tagged, true},
		{"ec2:CreateImage", "instance/i-2", nil, false}, // the disk of another is none of its business
		{"ec2:CreateImage", ":image/*", nil, true},
		{"ec2:CreateImage", ":snapshot/*", nil, true},
		{"ec2:DeleteVolume", "volume/vol-1", tagged, true},
		{"ec2:DeleteVolume", "volume/vol-2", nil, false},
		{"iam:PassRole", "arn:aws:iam::123456789012:role/admin", nil, false},
	}
	for action := range bakes {
		if strings.HasPrefix(action, "ec2:Describe") {
			out = append(out, request{action, "*", nil, true}, request{action, "*", keys{"aws:RequestedRegion": "eu-west-1"}, false})
		}
	}
	for _, action := range []string{"ec2:ModifyImageAttribute", "ec2:DeregisterImage", "ec2:DeleteSnapshot"} {
		resource := ":image/ami-1"
		if action == "ec2:DeleteSnapshot" {
			resource = ":snapshot/snap-1"
		}
		out = append(out, request{action, resource, tagged, true}, request{action, resource, nil, false})
	}
	return out
}

func TestPackerReachesWhatItMadeAlone(t *testing.T) {
	tagged, asked := keys{resourceTag: "image"}, keys{requestTag: "image"}
	requests := append(builds(),
		request{"ec2:CreateSecurityGroup", "security-group/*", asked, true},
		request{"ec2:CreateSecurityGroup", "security-group/*", nil, false},
		request{"ec2:AuthorizeSecurityGroupIngress", "security-group/sg-1", tagged, true},
		request{"ec2:AuthorizeSecurityGroupIngress", "security-group/sg-2", nil, false},
		request{"ec2:DeleteSecurityGroup", "security-group/sg-1", tagged, true},
		request{"ec2:DeleteSecurityGroup", "security-group/sg-2", nil, false},
		request{"ec2:RunInstances", "instance/*", keys{requestTag: "image", "ec2:MetadataHttpTokens": "required"}, true},
		request{"ec2:RunInstances", "instance/*", keys{"ec2:MetadataHttpTokens": "required"}, false},
		request{"ec2:CreateTags", "instance/*", keys{requestTag: "image", "ec2:CreateAction": "RunInstances"}, true},
		request{"ec2:CreateTags", "key-pair/packer_1", keys{requestTag: "image", "ec2:CreateAction": "CreateKeyPair"}, true},
		request{"ec2:CreateTags", "security-group/*", keys{requestTag: "image", "ec2:CreateAction": "CreateSecurityGroup"}, true},
		request{"ec2:CreateTags", ":snapshot/*", keys{requestTag: "image", "ec2:CreateAction": "CreateImage"}, true},
		request{"ec2:CreateTags", "instance/i-2", asked, false}, // making another's its own
		request{"ec2:CreateTags", ":image/ami-2", asked, false},
		request{"ec2:CreateTags", ":image/ami-1", tagged, true},
	)
	judge(t, "us-west-2", requests, "packer")
}

// In China, Packer tags nothing as it makes it, and in GovCloud not the image.
func TestPackerWhereTagsComeLate(t *testing.T) {
	asked := keys{requestTag: "image"}
	requests := append(builds(),
		request{"ec2:CreateSecurityGroup", "security-group/*", nil, true},
		request{"ec2:AuthorizeSecurityGroupIngress", "security-group/sg-1", nil, true},
		request{"ec2:DeleteSecurityGroup", "security-group/sg-1", nil, true},
		request{"ec2:RunInstances", "instance/*", keys{"ec2:MetadataHttpTokens": "required"}, true},
		request{"ec2:CreateTags", "instance/i-1", asked, true},
		request{"ec2:CreateTags", "instance/i-1", nil, false},
		request{"ec2:CreateTags", "network-interface/eni-1", asked, true},
		request{"ec2:CreateTags", "volume/vol-1", asked, true},
		request{"ec2:CreateTags", ":image/ami-1", asked, true},
		request{"ec2:CreateTags", ":snapshot/snap-1", asked, true},
		request{"ec2:CreateTags", "security-group/sg-1", asked, false},
	)
	for _, region := range partitions[1:] {
		judge(t, region, requests, "packer")
	}
}

func TestPackerUsesItsKeyThroughEC2Alone(t *testing.T) {
	for _, region := range partitions {
		key := all(region).KMSKeyARN
		suffix := "amazonaws.com"
		if region == "cn-north-1" {
			suffix = "amazonaws.com.cn"
		}
		via := keys{"kms:ViaService": "ec2." + region + "." + suffix}
		grant := maps.Clone(via)
		grant["kms:GrantIsForAWSResource"] = "true"
		requests := []request{{"kms:CreateGrant", key, grant, true}, {"kms:CreateGrant", key, via, false}, {"kms:CreateGrant", key + "2", grant, false}}
		for _, action := range []string{"kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"} {
			requests = append(requests, request{action, key, via, true}, request{action, key, nil, false}, request{action, key + "2", via, false})
		}
		judge(t, region, requests, "packer-key")
	}
}

func TestPackerGivesAwayTemporaryRolesAlone(t *testing.T) {
	for _, region := range partitions {
		arn, suffix := "arn:"+iam.PartitionOf(region)+":iam::123456789012:", "amazonaws.com"
		if region == "cn-north-1" {
			suffix = "amazonaws.com.cn"
		}
		toEC2 := keys{"iam:PassedToService": "ec2." + suffix}
		requests := []request{
			{"iam:PassRole", arn + "role/packer-1", toEC2, true},
			{"iam:PassRole", arn + "role/packer-1", keys{"iam:PassedToService": "lambda." + suffix}, false},
			{"iam:PassRole", arn + "role/admin", toEC2, false},
		}
		for _, action := range []string{"CreateRole", "DeleteRole", "DeleteRolePolicy", "GetRole", "PutRolePolicy", "TagRole"} {
			requests = append(requests, request{"iam:" + action, arn + "role/packer-1", nil, true}, request{"iam:" + action, arn + "role/admin", nil, false})
		}
		for _, action := range []string{"AddRoleToInstanceProfile", "CreateInstanceProfile", "DeleteInstanceProfile", "GetInstanceProfile", "RemoveRoleFromInstanceProfile", "TagInstanceProfile"} {
			requests = append(requests, request{"iam:" + action, arn + "instance-profile/packer-1", nil, true}, request{"iam:" + action, arn + "instance-profile/admin", nil, false})
		}
		judge(t, region, requests, "packer-profile")
	}
}
