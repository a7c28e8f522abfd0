package awssim_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// otherAccount owns the public image.
const otherAccount = "136693071363"

func imageIDs(list []types.Image) []string {
	var out []string
	for _, m := range list {
		out = append(out, aws.ToString(m.ImageId))
	}
	slices.Sort(out)
	return out
}

func TestDescribeImages(t *testing.T) {
	w, c := newWorld(t)
	stock := w.PutImage(awssim.Image{Name: "debian-12-amd64-1", Owner: otherAccount, Public: true})
	hidden := w.PutImage(awssim.Image{Name: "debian-12-amd64-2", Owner: otherAccount})
	own := w.PutImage(awssim.Image{Name: "node-1", Tags: map[string]string{"a": "b"}})
	for name, tt := range map[string]struct {
		in   *ec2.DescribeImagesInput
		want []string
	}{
		"self":      {&ec2.DescribeImagesInput{Owners: []string{"self"}}, []string{awssim.DefaultImageID, own.ID}},
		"account":   {&ec2.DescribeImagesInput{Owners: []string{otherAccount}}, []string{stock.ID}},
		"id":        {&ec2.DescribeImagesInput{ImageIds: []string{own.ID}}, []string{own.ID}},
		"name":      {&ec2.DescribeImagesInput{Filters: filterOf("name", "debian-12-amd64-*")}, []string{stock.ID}},
		"tag":       {&ec2.DescribeImagesInput{Filters: filterOf("tag:a", "b")}, []string{own.ID}},
		"not owned": {&ec2.DescribeImagesInput{ImageIds: []string{stock.ID}, Owners: []string{"self"}}, nil},
		"root":      {&ec2.DescribeImagesInput{Owners: []string{otherAccount}, Filters: filterOf("root-device-type", "ebs")}, []string{stock.ID}},
	} {
		if got := imageIDs(must(c.ec2.DescribeImages(t.Context(), tt.in))(t).Images); !slices.Equal(got, slices.Sorted(slices.Values(tt.want))) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	for id, code := range map[string]string{hidden.ID: "InvalidAMIID.NotFound", "ami-00000000": "InvalidAMIID.NotFound", "debian": "InvalidAMIID.Malformed"} {
		_, err := c.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})
		wantCode(t, err, code)
	}
	m := must(c.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{stock.ID}}))(t).Images[0]
	if m.State != types.ImageStateAvailable || m.RootDeviceType != types.DeviceTypeEbs || aws.ToString(m.RootDeviceName) != "/dev/xvda" ||
		m.VirtualizationType != types.VirtualizationTypeHvm || !aws.ToBool(m.Public) || aws.ToString(m.OwnerId) != otherAccount ||
		len(m.BlockDeviceMappings) != 1 || aws.ToString(m.BlockDeviceMappings[0].Ebs.SnapshotId) == "" {
		t.Errorf("image %+v", m)
	}
}

// launch is a request that succeeds: one instance with an encrypted root volume.
func launch(w *awssim.World, image string) *ec2.RunInstancesInput {
	return &ec2.RunInstancesInput{
		ImageId: aws.String(image), InstanceType: types.InstanceTypeT3Medium, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		SubnetId: aws.String(w.Subnets()["us-west-2b"]),
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{
			Encrypted: aws.Bool(true), VolumeSize: aws.Int32(10), VolumeType: types.VolumeTypeGp3, DeleteOnTermination: aws.Bool(true)}}},
	}
}

func TestRunInstancesRefusals(t *testing.T) {
	w, c := newWorld(t)
	image := w.PutImage(awssim.Image{Name: "one"}).ID
	arm := w.PutImage(awssim.Image{Name: "arm", Architecture: "arm64"}).ID
	for code, change := range map[string]func(*ec2.RunInstancesInput){
		"InvalidAMIID.NotFound":     func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("ami-00000001") },
		"InvalidParameterValue":     func(in *ec2.RunInstancesInput) { in.ImageId = aws.String(arm) },
		"InvalidKeyPair.NotFound":   func(in *ec2.RunInstancesInput) { in.KeyName = aws.String("none") },
		"InvalidGroup.NotFound":     func(in *ec2.RunInstancesInput) { in.SecurityGroupIds = []string{"sg-1"} },
		"InvalidSubnetID.NotFound":  func(in *ec2.RunInstancesInput) { in.SubnetId = aws.String("subnet-1") },
		"VPCIdNotSpecified":         func(in *ec2.RunInstancesInput) { in.SubnetId = nil },
		"InvalidBlockDeviceMapping": func(in *ec2.RunInstancesInput) { in.BlockDeviceMappings[0].Ebs.VolumeSize = aws.Int32(2) },
		"InvalidParameterDependency": func(in *ec2.RunInstancesInput) {
			in.BlockDeviceMappings[0].Ebs.Encrypted, in.BlockDeviceMappings[0].Ebs.KmsKeyId = nil, aws.String("alias/x")
		},
		"MissingParameter": func(in *ec2.RunInstancesInput) {
			in.BlockDeviceMappings[0].DeviceName, in.BlockDeviceMappings[0].Ebs.VolumeSize = aws.String("/dev/xvdb"), nil
		},
		"UnsupportedOperation": func(in *ec2.RunInstancesInput) {
			in.HibernationOptions = &types.HibernationOptionsRequest{Configured: aws.Bool(true)}
		},
		"DryRunOperation": func(in *ec2.RunInstancesInput) { in.DryRun = aws.Bool(true) },
	} {
		in := launch(w, image)
		change(in)
		_, err := c.ec2.RunInstances(t.Context(), in)
		wantCode(t, err, code)
	}
	if n := len(w.Instances()); n > 0 {
		t.Errorf("%d instances of refused requests", n)
	}
	in := launch(w, "ami-00000001")
	in.DryRun = aws.Bool(true)
	_, err := c.ec2.RunInstances(t.Context(), in)
	wantCode(t, err, "InvalidAMIID.NotFound") // a dry run looks at what it would launch
}

func TestRunInstancesOnceForEachToken(t *testing.T) {
	w, c := newWorld(t)
	in := launch(w, awssim.DefaultImageID)
	in.ClientToken = aws.String("once")
	first := must(c.ec2.RunInstances(t.Context(), in))(t)
	again := must(c.ec2.RunInstances(t.Context(), in))(t)
	if a, b := aws.ToString(first.Instances[0].InstanceId), aws.ToString(again.Instances[0].InstanceId); a != b || len(w.Instances()) != 1 {
		t.Errorf("the repetition launched %s beside %s", b, a)
	}
	in.InstanceType = types.InstanceTypeM5Large
	_, err := c.ec2.RunInstances(t.Context(), in)
	wantCode(t, err, "IdempotentParameterMismatch")
}

func TestInstanceHasItsVolumes(t *testing.T) {
	w, c := newWorld(t)
	in := launch(w, awssim.DefaultImageID)
	in.TagSpecifications = []types.TagSpecification{
		{ResourceType: types.ResourceTypeVolume, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}},
		{ResourceType: types.ResourceTypeNetworkInterface, Tags: []types.Tag{{Key: aws.String("c"), Value: aws.String("d")}}},
	}
	in.BlockDeviceMappings = append(in.BlockDeviceMappings, types.BlockDeviceMapping{DeviceName: aws.String("/dev/xvdb"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(3)}})
	i := must(c.ec2.RunInstances(t.Context(), in))(t).Instances[0]
	if len(i.BlockDeviceMappings) != 2 || aws.ToString(i.Placement.AvailabilityZone) != "us-west-2b" {
		t.Fatalf("instance %+v", i)
	}
	tags := must(c.ec2.DescribeTags(t.Context(), &ec2.DescribeTagsInput{Filters: filterOf("resource-id", aws.ToString(i.NetworkInterfaces[0].NetworkInterfaceId))}))(t).Tags
	if len(tags) != 1 || aws.ToString(tags[0].Key) != "c" || tags[0].ResourceType != types.ResourceTypeNetworkInterface {
		t.Errorf("tags of the interface %+v", tags)
	}
	volumes := func() (out []string) {
		for _, v := range must(c.ec2.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{Filters: filterOf("tag:a", "b")}))(t).Volumes {
			out = append(out, string(v.State)+" "+map[bool]string{true: "encrypted", false: "plain"}[aws.ToBool(v.Encrypted)])
		}
		slices.Sort(out)
		return out
	}
	if got := volumes(); !slices.Equal(got, []string{"in-use encrypted", "in-use plain"}) {
		t.Errorf("volumes %v", got)
	}
	second := aws.ToString(i.BlockDeviceMappings[1].Ebs.VolumeId)
	_, err := c.ec2.DeleteVolume(t.Context(), &ec2.DeleteVolumeInput{VolumeId: &second})
	wantCode(t, err, "VolumeInUse")
	w.Terminate(aws.ToString(i.InstanceId))
	if got := volumes(); !slices.Equal(got, []string{"available plain"}) {
		t.Errorf("volumes of a terminated instance %v: the root goes with it, others stay", got)
	}
	must(c.ec2.DeleteVolume(t.Context(), &ec2.DeleteVolumeInput{VolumeId: &second}))(t)
	_, err = c.ec2.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{VolumeIds: []string{second}})
	wantCode(t, err, "InvalidVolume.NotFound")
}

func TestImageOfAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Timing: awssim.Timing{Image: time.Minute}}
		defer w.Close()
		c := connect(w, "builder")
		i := must(c.ec2.RunInstances(t.Context(), launch(w, awssim.DefaultImageID)))(t).Instances[0]
		synctest.Wait()
		create := &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("node-1"), TagSpecifications: []types.TagSpecification{
			{ResourceType: types.ResourceTypeImage, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("image")}}},
			{ResourceType: types.ResourceTypeSnapshot, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("snapshot")}}},
		}}
		id := must(c.ec2.CreateImage(t.Context(), create))(t).ImageId
		show := func() types.Image {
			return must(c.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*id}}))(t).Images[0]
		}
		m := show()
		snapshot := m.BlockDeviceMappings[0].Ebs.SnapshotId
		if m.State != types.ImageStatePending || !aws.ToBool(m.BlockDeviceMappings[0].Ebs.Encrypted) || aws.ToInt32(m.BlockDeviceMappings[0].Ebs.VolumeSize) != 10 {
			t.Errorf("image %+v of %+v", m, m.BlockDeviceMappings[0].Ebs)
		}
		_, err := c.ec2.RunInstances(t.Context(), launch(w, *id))
		wantCode(t, err, "InvalidAMIID.Unavailable")
		_, err = c.ec2.CreateImage(t.Context(), create)
		wantCode(t, err, "InvalidAMIName.Duplicate")
		bubble.Sleep(2 * time.Minute)
		s := must(c.ec2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*snapshot}}))(t).Snapshots[0]
		if show().State != types.ImageStateAvailable || s.State != types.SnapshotStateCompleted || len(s.Tags) != 1 || aws.ToString(s.Tags[0].Value) != "snapshot" ||
			!strings.Contains(aws.ToString(s.Description), *id) {
			t.Errorf("image is %s, snapshot %+v", show().State, s)
		}
		for _, in := range []*ec2.ModifyImageAttributeInput{
			{ImageId: id, Description: &types.AttributeValue{Value: aws.String("a node")}},
			{ImageId: id, ImdsSupport: &types.AttributeValue{Value: aws.String("v2.0")}},
		} {
			must(c.ec2.ModifyImageAttribute(t.Context(), in))(t)
		}
		if m := show(); aws.ToString(m.Description) != "a node" || m.ImdsSupport != types.ImdsSupportValuesV20 {
			t.Errorf("image %+v", m)
		}
		n := must(c.ec2.RunInstances(t.Context(), launch(w, *id)))(t).Instances[0]
		if n.MetadataOptions.HttpTokens != types.HttpTokensStateRequired || aws.ToInt32(n.MetadataOptions.HttpPutResponseHopLimit) != 2 {
			t.Errorf("metadata options of an image with imds_support v2.0 %+v", n.MetadataOptions)
		}
		_, err = c.ec2.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: snapshot})
		wantCode(t, err, "InvalidSnapshot.InUse")
		must(c.ec2.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: id}))(t)
		_, err = c.ec2.RunInstances(t.Context(), launch(w, *id))
		wantCode(t, err, "InvalidAMIID.Unavailable")
		if left := must(c.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*id}}))(t).Images; len(left) > 0 {
			t.Errorf("shown after it was deregistered: %+v", left)
		}
		must(c.ec2.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: snapshot}))(t)
	})
}

// A group cannot launch from an image that is gone, and says so in an activity.
func TestGroupOfADeregisteredImage(t *testing.T) {
	w, c := newWorld(t)
	w.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: "ami-00000002", InstanceType: "t3.medium"})
	must(c.ec2.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: aws.String("ami-00000002")}))(t)
	if err := w.PutGroup(awssim.GroupSpec{Name: "nodes", LaunchTemplate: "nodes", Max: 1, Desired: 1}); err != nil {
		t.Fatal(err)
	}
	g := must(w.Group("nodes"))(t)
	if len(g.Members) > 0 || len(g.Activities) == 0 || g.Activities[0].Status != "Failed" || !strings.Contains(g.Activities[0].Message, "ami-00000002") {
		t.Errorf("group %+v", g)
	}
}

// imager fails to keep a disk.
type imager struct{ *machines }

func (imager) CreateImage(context.Context, string, string, bool) error {
	return errors.New("disk full")
}

func TestImageFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Hypervisor: imager{&machines{}}}
		defer w.Close()
		c := connect(w, "builder")
		i := must(c.ec2.RunInstances(t.Context(), launch(w, awssim.DefaultImageID)))(t).Instances[0]
		_, err := c.ec2.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("early")})
		wantCode(t, err, "InvalidParameterValue") // still pending
		synctest.Wait()
		id := must(c.ec2.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("node")}))(t).ImageId
		synctest.Wait()
		m := must(c.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*id}}))(t).Images[0]
		if m.State != types.ImageStateFailed || m.StateReason == nil {
			t.Errorf("image %+v", m)
		}
	})
}
