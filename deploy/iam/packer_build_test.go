package iam_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/lab/awssim"
)

// builder is a caller that is held to the builder's policy.
type builder struct {
	t      *testing.T
	w      *awssim.World
	ec2    *ec2.Client
	source string // public image
	tags   []types.Tag
}

func newBuilder(t *testing.T, documents ...string) *builder {
	t.Helper()
	w := &awssim.World{}
	t.Cleanup(w.Close)
	for _, d := range append([]string{"packer"}, documents...) {
		text, err := iam.Render(d, all("us-west-2"))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.AttachPolicy("builder", text); err != nil {
			t.Fatal(err)
		}
	}
	cfg := w.Config("builder")
	cfg.RetryMaxAttempts = 1
	return &builder{t: t, w: w, ec2: ec2.NewFromConfig(cfg),
		source: w.PutImage(awssim.Image{Name: "debian-12-amd64-1", Owner: "136693071363", Public: true}).ID,
		tags:   []types.Tag{{Key: aws.String("joinery:build"), Value: aws.String("image")}}}
}

func (b *builder) marked(kinds ...types.ResourceType) (out []types.TagSpecification) {
	for _, k := range kinds {
		out = append(out, types.TagSpecification{ResourceType: k, Tags: b.tags})
	}
	return out
}

// run is the launch of a build as the template asks for it.
func (b *builder) run() *ec2.RunInstancesInput {
	return &ec2.RunInstancesInput{
		ImageId: &b.source, InstanceType: types.InstanceTypeT3Medium, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		SubnetId: aws.String(b.w.Subnets()["us-west-2a"]), UserData: aws.String(""), EbsOptimized: aws.Bool(false),
		Placement:           &types.Placement{AvailabilityZone: aws.String("us-west-2a")},
		EnclaveOptions:      &types.EnclaveOptionsRequest{Enabled: aws.Bool(false)},
		IamInstanceProfile:  &types.IamInstanceProfileSpecification{Name: aws.String("")},
		CreditSpecification: &types.CreditSpecificationRequest{CpuCredits: aws.String("standard")},
		MetadataOptions: &types.InstanceMetadataOptionsRequest{HttpEndpoint: types.InstanceMetadataEndpointStateEnabled,
			HttpTokens: types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1)},
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"),
			Ebs: &types.EbsBlockDevice{Encrypted: aws.Bool(true), DeleteOnTermination: aws.Bool(true)}}},
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorStop,
		TagSpecifications:                 b.marked(types.ResourceTypeInstance, types.ResourceTypeNetworkInterface, types.ResourceTypeVolume),
	}
}

// steps are the requests of the builder's steps, in order. An image is made and, as a
// build that fails at its end does, taken back.
func (b *builder) steps() (err error) {
	b.t.Helper()
	ctx := b.t.Context()
	keep := func(e error) { err = errors.Join(err, e) }
	// What a step waits for is there: packer asks again until AWS shows it.
	do := func(_ any, e error) { keep(e); b.w.Settle() }
	do(b.ec2.DescribeRegions(ctx, nil))
	do(b.ec2.DescribeVpcs(ctx, nil))
	do(b.ec2.DescribeSubnets(ctx, nil))
	do(b.ec2.DescribeInstanceTypeOfferings(ctx, nil))
	do(b.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{b.source}}))
	do(b.ec2.CreateKeyPair(ctx, &ec2.CreateKeyPairInput{KeyName: aws.String("packer_1"), KeyType: types.KeyTypeEd25519, TagSpecifications: b.marked(types.ResourceTypeKeyPair)}))
	g, e := b.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("packer_1"), Description: aws.String("d"),
		VpcId: aws.String(b.w.VPCID), TagSpecifications: b.marked(types.ResourceTypeSecurityGroup)})
	if e != nil {
		return errors.Join(err, e)
	}
	b.w.Settle()
	do(b.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*g.GroupId}}))
	do(b.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), IpRanges: []types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}}}}}))
	in := b.run()
	in.KeyName, in.SecurityGroupIds = aws.String("packer_1"), []string{*g.GroupId}
	r, e := b.ec2.RunInstances(ctx, in)
	if e != nil {
		return errors.Join(err, e)
	}
	b.w.Settle()
	id := r.Instances[0].InstanceId
	do(b.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{*id}}))
	do(b.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{*id}}))
	keep(b.image(id))
	do(b.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*id}}))
	do(b.ec2.DescribeVolumes(ctx, nil))
	do(b.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: g.GroupId}))
	do(b.ec2.DeleteKeyPair(ctx, &ec2.DeleteKeyPairInput{KeyName: aws.String("packer_1")}))
	return err
}

func (b *builder) image(instance *string) (err error) {
	ctx := b.t.Context()
	m, e := b.ec2.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: instance, Name: aws.String("joinery-1"),
		TagSpecifications: b.marked(types.ResourceTypeImage, types.ResourceTypeSnapshot)})
	if e != nil {
		return e
	}
	b.w.Settle()
	shown, e := b.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{*m.ImageId}})
	if e != nil {
		return e
	}
	snapshot := shown.Images[0].BlockDeviceMappings[0].Ebs.SnapshotId
	_, e = b.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{*m.ImageId, *snapshot}, Tags: []types.Tag{{Key: aws.String("joinery:kubernetes"), Value: aws.String("1.37.2")}}})
	err = errors.Join(err, e)
	_, e = b.ec2.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: m.ImageId, ImdsSupport: &types.AttributeValue{Value: aws.String("v2.0")}})
	err = errors.Join(err, e)
	_, e = b.ec2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: m.ImageId})
	err = errors.Join(err, e)
	_, e = b.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: snapshot})
	return errors.Join(err, e)
}

// The requests themselves are held to the policy, so that what an action needs is the
// simulated AWS's to say and not a list's.
func TestPackersRequestsPassUnderItsPolicy(t *testing.T) {
	b := newBuilder(t)
	if err := b.steps(); err != nil {
		t.Fatal(err)
	}
	if unused := b.w.UnusedPermissions("builder"); len(unused) != 1 || unused[0] != "LeftVolumes: ec2:DeleteVolume" {
		t.Errorf("no request of a build used %q", unused) // a build without extra volumes leaves none
	}
}

func TestPackersOtherRequestsAreRefused(t *testing.T) {
	b := newBuilder(t)
	other, err := b.w.AddInstance(awssim.InstanceSpec{})
	if err != nil {
		t.Fatal(err)
	}
	run := func(change func(*ec2.RunInstancesInput)) func() error {
		return func() error {
			in := b.run()
			change(in)
			_, err := b.ec2.RunInstances(t.Context(), in)
			return err
		}
	}
	for name, ask := range map[string]func() error{
		"IMDSv1":       run(func(in *ec2.RunInstancesInput) { in.MetadataOptions.HttpTokens = types.HttpTokensStateOptional }),
		"plain volume": run(func(in *ec2.RunInstancesInput) { in.BlockDeviceMappings = nil }),
		"no tag":       run(func(in *ec2.RunInstancesInput) { in.TagSpecifications = nil }),
		"untagged disk": run(func(in *ec2.RunInstancesInput) {
			in.TagSpecifications[2].Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
		}),
		"a role":         run(func(in *ec2.RunInstancesInput) { in.IamInstanceProfile.Name = aws.String("admin") }),
		"another's disk": func() error { return b.image(&other.ID) },
		"another's end": func() error {
			_, err := b.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{other.ID}})
			return err
		},
		"another's image": func() error {
			_, err := b.ec2.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: aws.String(awssim.DefaultImageID)})
			return err
		},
		"another's key": func() error {
			_, err := b.ec2.DeleteKeyPair(t.Context(), &ec2.DeleteKeyPairInput{KeyName: aws.String("operator")})
			return err
		},
	} {
		var api smithy.APIError
		if err := ask(); !errors.As(err, &api) || api.ErrorCode() != "UnauthorizedOperation" {
			t.Errorf("%s: %v, want UnauthorizedOperation", name, err)
		}
	}
}

// With a temporary profile, Packer makes a role, hands it to the instance and removes it.
func TestPackersTemporaryProfile(t *testing.T) {
	b := newBuilder(t, "packer-profile")
	cfg := b.w.Config("builder")
	cfg.RetryMaxAttempts = 1
	i, ctx, name := awsiam.NewFromConfig(cfg), t.Context(), aws.String("packer-1")
	tags := []iamtypes.Tag{{Key: aws.String("joinery:build"), Value: aws.String("image")}}
	var err error
	do := func(_ any, e error) { err = errors.Join(err, e) }
	do(i.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: name, Tags: tags}))
	do(i.GetInstanceProfile(ctx, &awsiam.GetInstanceProfileInput{InstanceProfileName: name}))
	do(i.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String("{}"), Tags: tags}))
	do(i.GetRole(ctx, &awsiam.GetRoleInput{RoleName: name}))
	do(i.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: name, PolicyName: name,
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`)}))
	do(i.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{RoleName: name, InstanceProfileName: name}))
	in := b.run()
	in.IamInstanceProfile.Name = name
	do(b.ec2.RunInstances(ctx, in))
	do(i.RemoveRoleFromInstanceProfile(ctx, &awsiam.RemoveRoleFromInstanceProfileInput{RoleName: name, InstanceProfileName: name}))
	do(i.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: name, PolicyName: name}))
	do(i.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: name}))
	do(i.DeleteInstanceProfile(ctx, &awsiam.DeleteInstanceProfileInput{InstanceProfileName: name}))
	if err != nil {
		t.Fatal(err)
	}
	for _, unused := range b.w.UnusedPermissions("builder") {
		if strings.Contains(unused, "iam:") {
			t.Errorf("no request of a build used %s", unused)
		}
	}
}
