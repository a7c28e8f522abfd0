package awssim_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/joinery/joinery/lab/awssim"
)

func add(t *testing.T, w *awssim.World, spec awssim.InstanceSpec) awssim.Instance {
	t.Helper()
	return must(w.AddInstance(spec))(t)
}

func filterOf(name string, values ...string) []types.Filter {
	return []types.Filter{{Name: aws.String(name), Values: values}}
}

// ids lists what DescribeInstances shows.
func ids(t *testing.T, c clients, in *ec2.DescribeInstancesInput) []string {
	t.Helper()
	var out []string
	pages := ec2.NewDescribeInstancesPaginator(c.ec2, in)
	for pages.HasMorePages() {
		for _, r := range must(pages.NextPage(t.Context()))(t).Reservations {
			for _, i := range r.Instances {
				out = append(out, aws.ToString(i.InstanceId))
			}
		}
	}
	return out
}

func TestDescribeInstancesFilters(t *testing.T) {
	w, c := newWorld(t)
	master := add(t, w, awssim.InstanceSpec{Tags: map[string]string{"Name": "master", "joinery:cluster": "demo"}, Role: "master"})
	worker := add(t, w, awssim.InstanceSpec{Type: "m5.large", Zone: "us-west-2b", Tags: map[string]string{"Name": "worker*"}})
	add(t, w, awssim.InstanceSpec{Tags: map[string]string{"Name": "gone"}})
	w.Terminate(w.Instances()[2].ID)
	tests := []struct {
		filter []types.Filter
		want   []string
	}{
		{filterOf("instance-id", worker.ID), []string{worker.ID}},
		{filterOf("instance-state-name", "pending", "running"), []string{master.ID, worker.ID}},
		{filterOf("private-dns-name", "ip-10-99-0-11.us-west-2.compute.internal"), []string{master.ID}},
		{filterOf("private-ip-address", "10.99.0.12"), []string{worker.ID}},
		{filterOf("vpc-id", "vpc-none"), nil},
		{filterOf("subnet-id", w.Subnets()["us-west-2b"]), []string{worker.ID}},
		{filterOf("availability-zone", "us-west-2b"), []string{worker.ID}},
		{filterOf("instance-type", "m5.*"), []string{worker.ID}},
		{filterOf("image-id", "ami-?a1b2c3d4e5f60718"), []string{master.ID, worker.ID, w.Instances()[2].ID}},
		{filterOf("tag:Name", "mas*"), []string{master.ID}},
		{filterOf("tag:Name", `worker\*`), []string{worker.ID}},
		{filterOf("tag:Name", "w?rker", "none"), nil},
		{filterOf("tag-key", "joinery:cluster"), []string{master.ID}},
		{filterOf("tag-value", "demo"), []string{master.ID}},
		{append(filterOf("tag:joinery:cluster", "demo"), filterOf("instance-type", "m5.large")...), nil},
	}
	for _, tt := range tests {
		t.Run(aws.ToString(tt.filter[0].Name), func(t *testing.T) {
			if got := ids(t, c, &ec2.DescribeInstancesInput{Filters: tt.filter}); !slices.Equal(got, tt.want) {
				t.Errorf("filter %v: %v, want %v", tt.filter[0].Values, got, tt.want)
			}
		})
	}
	_, err := c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: filterOf("colour", "red")})
	wantCode(t, err, "InvalidParameterValue")
}

func TestDescribeInstancesAnswer(t *testing.T) {
	w, c := newWorld(t)
	want := add(t, w, awssim.InstanceSpec{Role: "node", Tags: map[string]string{"a": ""}, HopLimit: 2, InstanceMetadataTags: "enabled"})
	out := must(c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{want.ID}}))(t)
	i := out.Reservations[0].Instances[0]
	got := fmt.Sprint(i.State.Name, *i.PrivateIpAddress, *i.PrivateDnsName, *i.VpcId, *i.SubnetId, *i.Placement.AvailabilityZone, i.InstanceType,
		i.Architecture, *i.IamInstanceProfile.Arn, i.MetadataOptions.HttpTokens, *i.MetadataOptions.HttpPutResponseHopLimit,
		i.MetadataOptions.InstanceMetadataTags, *i.NetworkInterfaces[0].MacAddress, *i.Tags[0].Key, *i.Tags[0].Value, i.LaunchTime.Unix())
	expect := fmt.Sprint("running", "10.99.0.11", "ip-10-99-0-11.us-west-2.compute.internal", w.VPCID, want.SubnetID, "us-west-2a", "t3.medium",
		"x86_64", "arn:aws:iam::123456789012:instance-profile/node", "required", 2, "enabled", want.MAC, "a", "", want.LaunchTime.Unix())
	if got != expect {
		t.Errorf("instance\n%s, want\n%s", got, expect)
	}
	status := must(c.ec2.DescribeInstanceStatus(t.Context(), nil))(t)
	if len(status.InstanceStatuses) != 1 || status.InstanceStatuses[0].InstanceStatus.Status != "ok" {
		t.Errorf("status %+v", status.InstanceStatuses)
	}
}

// TestInterfaces: an instance has an interface, or several with more addresses,
// and is found by each of them.
func TestInterfaces(t *testing.T) {
	w, c := newWorld(t)
	plain := add(t, w, awssim.InstanceSpec{})
	i := add(t, w, awssim.InstanceSpec{PrivateIP: "10.99.0.50", SecondaryIPs: []string{"10.99.0.51", "10.99.0.12"}, IPv6: []string{"2001:db8::1"},
		Interfaces: []awssim.InterfaceSpec{{SecondaryIPs: []string{"10.99.0.60"}}, {PrivateIP: "10.99.0.70", IPv6: []string{"2001:db8::2"}}}})
	describe := func(id string) types.Instance {
		return must(c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}}))(t).Reservations[0].Instances[0]
	}
	if got := describe(plain.ID); len(got.NetworkInterfaces) != 1 || len(got.NetworkInterfaces[0].PrivateIpAddresses) != 1 || got.Ipv6Address != nil {
		t.Errorf("plain instance %+v", got.NetworkInterfaces)
	}
	var got []string
	for _, e := range describe(i.ID).NetworkInterfaces {
		line := fmt.Sprint(*e.Attachment.DeviceIndex)
		for _, a := range e.PrivateIpAddresses {
			line += fmt.Sprint(" ", *a.PrivateIpAddress, " ", *a.PrivateDnsName, " ", *a.Primary)
		}
		for _, a := range e.Ipv6Addresses {
			line += " " + *a.Ipv6Address
		}
		got = append(got, line)
	}
	const dns = ".us-west-2.compute.internal "
	want := []string{
		"0 10.99.0.50 ip-10-99-0-50" + dns + "true 10.99.0.51 ip-10-99-0-51" + dns + "false 10.99.0.12 ip-10-99-0-12" + dns + "false 2001:db8::1",
		"1 10.99.0.13 ip-10-99-0-13" + dns + "true 10.99.0.60 ip-10-99-0-60" + dns + "false",
		"2 10.99.0.70 ip-10-99-0-70" + dns + "true 2001:db8::2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("interfaces\n%q, want\n%q", got, want)
	}
	for _, ip := range []string{"10.99.0.50", "10.99.0.12", "10.99.0.60", "2001:db8::2"} {
		if found, err := w.InstanceByIP(ip); err != nil || found.ID != i.ID {
			t.Errorf("by %s: %s %v", ip, found.ID, err)
		}
	}
	if got := ids(t, c, &ec2.DescribeInstancesInput{Filters: filterOf("network-interface.addresses.private-ip-address", "10.99.0.60")}); !slices.Equal(got, []string{i.ID}) {
		t.Errorf("by a secondary address: %v", got)
	}
	if got, _ := read(t, metadata(w, i.ID), "network/interfaces/macs/"+i.MAC+"/local-ipv4s"); got != "10.99.0.50\n10.99.0.51\n10.99.0.12" {
		t.Errorf("metadata %q", got)
	}
	for ip, code := range map[string]string{"10.99.0.60": "InvalidIPAddress.InUse", "10.1.0.1": "InvalidParameterValue", "x": "InvalidParameterValue"} {
		if _, err := w.AddInstance(awssim.InstanceSpec{SecondaryIPs: []string{ip}}); err == nil || !strings.Contains(err.Error(), code) {
			t.Errorf("address %s: %v, want %s", ip, err, code)
		}
	}
	w.Terminate(i.ID)
	add(t, w, awssim.InstanceSpec{PrivateIP: "10.99.0.60"})
}

func TestInstanceIDErrors(t *testing.T) {
	w, c := newWorld(t)
	i := add(t, w, awssim.InstanceSpec{})
	for id, code := range map[string]string{"i-0123456789abcdef0": "InvalidInstanceID.NotFound", "i-xyz": "InvalidInstanceID.Malformed", "node-1": "InvalidInstanceID.Malformed"} {
		_, err := c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{i.ID, id}})
		wantCode(t, err, code)
		_, err = c.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{i.ID, id}})
		wantCode(t, err, code)
	}
	if got := must(w.Instance(i.ID))(t); got.State != awssim.Running {
		t.Errorf("a refused call left the instance %s", got.State)
	}
}

func TestDescribePages(t *testing.T) {
	w, c := newWorld(t)
	for range 12 {
		add(t, w, awssim.InstanceSpec{})
	}
	if got := ids(t, c, &ec2.DescribeInstancesInput{MaxResults: aws.Int32(5)}); len(got) != 12 {
		t.Errorf("%d instances over pages, want 12", len(got))
	}
	if n := len(w.CallsTo("ec2", "DescribeInstances")); n != 3 {
		t.Errorf("%d calls for 12 instances by 5, want 3", n)
	}
	_, err := c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{MaxResults: aws.Int32(4)})
	wantCode(t, err, "InvalidParameterValue")
	_, err = c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{NextToken: aws.String("bad")})
	wantCode(t, err, "InvalidNextToken")
	_, err = c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{MaxResults: aws.Int32(5), InstanceIds: []string{w.Instances()[0].ID}})
	wantCode(t, err, "InvalidParameterCombination")

	names, pages := 0, 0
	p := ec2.NewDescribeInstanceTypesPaginator(c.ec2, &ec2.DescribeInstanceTypesInput{MaxResults: aws.Int32(10)})
	for ; p.HasMorePages(); pages++ {
		names += len(must(p.NextPage(t.Context()))(t).InstanceTypes)
	}
	if pages < 3 || names < 30 {
		t.Errorf("%d types on %d pages, want at least 30 on 3", names, pages)
	}
}

func TestDescribeInstanceTypes(t *testing.T) {
	w, c := newWorld(t)
	w.AddInstanceType(awssim.InstanceType{Name: "lab.tiny", VCPUs: 1, MemoryMiB: 700})
	out := must(c.ec2.DescribeInstanceTypes(t.Context(), &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"m5.large", "lab.tiny", "g4dn.xlarge", "t4g.small"}}))(t)
	var got []string
	for _, i := range out.InstanceTypes {
		s := fmt.Sprint(i.InstanceType, " ", *i.VCpuInfo.DefaultVCpus, " ", *i.MemoryInfo.SizeInMiB, " ", i.ProcessorInfo.SupportedArchitectures[0], " ",
			*i.NetworkInfo.MaximumNetworkInterfaces, "x", *i.NetworkInfo.Ipv4AddressesPerInterface)
		if i.GpuInfo != nil {
			s += fmt.Sprint(" ", *i.GpuInfo.Gpus[0].Count, *i.GpuInfo.Gpus[0].Name)
		}
		got = append(got, s)
	}
	want := []string{"m5.large 2 8192 x86_64 3x10", "lab.tiny 1 700 x86_64 3x10", "g4dn.xlarge 4 16384 x86_64 3x10 1T4", "t4g.small 2 2048 arm64 3x4"}
	if !slices.Equal(got, want) {
		t.Errorf("types %q, want %q", got, want)
	}
	_, err := c.ec2.DescribeInstanceTypes(t.Context(), &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"m5.large", "x9.huge"}})
	wantCode(t, err, "InvalidInstanceType")
	arm := must(c.ec2.DescribeInstanceTypes(t.Context(), &ec2.DescribeInstanceTypesInput{Filters: filterOf("processor-info.supported-architecture", "arm64")}))(t)
	for _, i := range arm.InstanceTypes {
		if i.ProcessorInfo.SupportedArchitectures[0] != "arm64" {
			t.Errorf("filter let %s through", i.InstanceType)
		}
	}
}

func TestZonesAndSubnets(t *testing.T) {
	w, c := newWorld(t)
	z := must(c.ec2.DescribeAvailabilityZones(t.Context(), &ec2.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-west-2c"}}))(t)
	if len(z.AvailabilityZones) != 1 || aws.ToString(z.AvailabilityZones[0].ZoneId) != "usw2-az3" {
		t.Errorf("zones %+v", z.AvailabilityZones)
	}
	_, err := c.ec2.DescribeAvailabilityZones(t.Context(), &ec2.DescribeAvailabilityZonesInput{ZoneNames: []string{"mars-1a"}})
	wantCode(t, err, "InvalidParameterValue")
	s := must(c.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{Filters: filterOf("availability-zone", "us-west-2b")}))(t)
	if len(s.Subnets) != 1 || aws.ToString(s.Subnets[0].SubnetId) != w.Subnets()["us-west-2b"] || aws.ToString(s.Subnets[0].VpcId) != w.VPCID {
		t.Errorf("subnets %+v", s.Subnets)
	}
	_, err = c.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{SubnetIds: []string{"subnet-0"}})
	wantCode(t, err, "InvalidSubnetID.NotFound")
}

func TestTags(t *testing.T) {
	w, c := newWorld(t)
	i := add(t, w, awssim.InstanceSpec{InstanceMetadataTags: "enabled"})
	tag := func(k, v string) error {
		_, err := c.ec2.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{i.ID}, Tags: []types.Tag{{Key: aws.String(k), Value: aws.String(v)}}})
		return err
	}
	wantCode(t, tag("a", "1"), "")
	wantCode(t, tag("aws:x", "1"), "InvalidParameterValue")
	// A slash cannot be in the metadata's path.
	wantCode(t, tag("k8s.io/cluster", "1"), "InvalidParameterValue")
	_, err := c.ec2.DeleteTags(t.Context(), &ec2.DeleteTagsInput{Resources: []string{i.ID}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("other")}}})
	wantCode(t, err, "")
	if got := must(w.Instance(i.ID))(t).Tags; got["a"] != "1" || len(got) != 1 {
		t.Errorf("tags %v", got)
	}
	_, err = c.ec2.DeleteTags(t.Context(), &ec2.DeleteTagsInput{Resources: []string{i.ID}, Tags: []types.Tag{{Key: aws.String("a")}}})
	wantCode(t, err, "")
	if got := must(w.Instance(i.ID))(t).Tags; len(got) != 0 {
		t.Errorf("tags %v", got)
	}
}

func TestLaunchTemplates(t *testing.T) {
	_, c := newWorld(t)
	name := aws.String("nodes")
	userData := aws.String(base64.StdEncoding.EncodeToString([]byte("kind: NodeConfig")))
	made := must(c.ec2.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: name, LaunchTemplateData: &types.RequestLaunchTemplateData{
		ImageId: aws.String("ami-1"), InstanceType: "m5.large", UserData: userData, SecurityGroupIds: []string{"sg-1"},
		IamInstanceProfile: &types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: aws.String("node")},
		MetadataOptions:    &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: "required", HttpPutResponseHopLimit: aws.Int32(1), InstanceMetadataTags: "enabled"},
		TagSpecifications:  []types.LaunchTemplateTagSpecificationRequest{{ResourceType: "instance", Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}},
	}}))(t)
	id := made.LaunchTemplate.LaunchTemplateId
	_, err := c.ec2.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: name, LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: aws.String("ami-1")}})
	wantCode(t, err, "InvalidLaunchTemplateName.AlreadyExistsException")

	next := func(source *string) int64 {
		out := must(c.ec2.CreateLaunchTemplateVersion(t.Context(), &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: id, SourceVersion: source,
			LaunchTemplateData: &types.RequestLaunchTemplateData{InstanceType: "m5.xlarge"}}))(t)
		return *out.LaunchTemplateVersion.VersionNumber
	}
	if n := next(aws.String("1")); n != 2 {
		t.Errorf("version %d, want 2", n)
	}
	next(nil)
	read := func(v string) *types.ResponseLaunchTemplateData {
		out := must(c.ec2.DescribeLaunchTemplateVersions(t.Context(), &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: name, Versions: []string{v}}))(t)
		return out.LaunchTemplateVersions[0].LaunchTemplateData
	}
	d := read("2")
	if aws.ToString(d.ImageId) != "ami-1" || d.InstanceType != "m5.xlarge" || aws.ToString(d.UserData) != *userData || d.MetadataOptions.HttpTokens != "required" ||
		aws.ToString(d.IamInstanceProfile.Name) != "node" || *d.TagSpecifications[0].Tags[0].Value != "b" || d.SecurityGroupIds[0] != "sg-1" {
		t.Errorf("version 2 did not inherit from 1: %+v", d)
	}
	if d := read("$Latest"); d.ImageId != nil || d.InstanceType != "m5.xlarge" {
		t.Errorf("version 3, made without source, holds %+v", d)
	}
	if d := read("$Default"); d.InstanceType != "m5.large" {
		t.Errorf("default version has type %s", d.InstanceType)
	}
	all := must(c.ec2.DescribeLaunchTemplateVersions(t.Context(), &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: id}))(t)
	if len(all.LaunchTemplateVersions) != 3 {
		t.Errorf("%d versions, want 3", len(all.LaunchTemplateVersions))
	}
	for v, code := range map[string]string{"9": "InvalidLaunchTemplateId.VersionNotFound", "x": "InvalidLaunchTemplateVersion.Malformed"} {
		_, err = c.ec2.DescribeLaunchTemplateVersions(t.Context(), &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: id, Versions: []string{v}})
		wantCode(t, err, code)
	}
	_, err = c.ec2.DescribeLaunchTemplateVersions(t.Context(), &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: aws.String("none")})
	wantCode(t, err, "InvalidLaunchTemplateName.NotFoundException")
	_, err = c.ec2.DescribeLaunchTemplates(t.Context(), &ec2.DescribeLaunchTemplatesInput{LaunchTemplateIds: []string{"lt-0"}})
	wantCode(t, err, "InvalidLaunchTemplateId.NotFound")
	list := must(c.ec2.DescribeLaunchTemplates(t.Context(), nil))(t)
	if len(list.LaunchTemplates) != 1 || *list.LaunchTemplates[0].LatestVersionNumber != 3 || *list.LaunchTemplates[0].DefaultVersionNumber != 1 {
		t.Errorf("templates %+v", list.LaunchTemplates)
	}
}

func TestAddressesComeBackLate(t *testing.T) {
	w := &awssim.World{FirstHost: 11, LastHost: 14}
	t.Cleanup(w.Close)
	var got []string
	for range 6 {
		i := add(t, w, awssim.InstanceSpec{})
		got = append(got, i.PrivateIP[strings.LastIndex(i.PrivateIP, ".")+1:])
		w.Terminate(i.ID)
	}
	if want := "11 12 13 14 11 12"; strings.Join(got, " ") != want {
		t.Errorf("addresses %v, want %s", got, want)
	}
	for range 4 {
		add(t, w, awssim.InstanceSpec{})
	}
	if _, err := w.AddInstance(awssim.InstanceSpec{}); err == nil || !strings.Contains(err.Error(), "InsufficientFreeAddressesInSubnet") {
		t.Errorf("a fifth instance in a range of four: %v", err)
	}
}
