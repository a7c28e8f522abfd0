package awssim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// template puts a complete launch template called nodes into the world.
func template(w *awssim.World) {
	w.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: "ami-2", InstanceType: "m5.large", RoleName: "node", HopLimit: 1,
		HTTPTokens: "required", InstanceTags: map[string]string{"from": "template"}})
}

// newGroup is a world with the template and one group of it, called g.
func newGroup(t *testing.T, spec awssim.GroupSpec) (*awssim.World, clients) {
	t.Helper()
	w, c := newWorld(t)
	template(w)
	spec.Name, spec.LaunchTemplate, spec.LaunchTemplateVersion = "g", "nodes", "$Latest"
	if err := w.PutGroup(spec); err != nil {
		t.Fatal(err)
	}
	return w, c
}

func group(t *testing.T, w *awssim.World) awssim.Group {
	t.Helper()
	return must(w.Group("g"))(t)
}

// states lists the members' lifecycle states in launch order.
func states(t *testing.T, w *awssim.World) string {
	t.Helper()
	var out []string
	for _, m := range group(t, w).Members {
		out = append(out, m.Lifecycle)
	}
	return strings.Join(out, " ")
}

func setDesired(t *testing.T, c clients, n int32) error {
	_, err := c.asg.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("g"), DesiredCapacity: aws.Int32(n), HonorCooldown: aws.Bool(false)})
	return err
}

func terminate(t *testing.T, c clients, id string, decrement bool) error {
	_, err := c.asg.TerminateInstanceInAutoScalingGroup(t.Context(), &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: &decrement})
	return err
}

func TestCreateGroup(t *testing.T) {
	w, c := newWorld(t)
	template(w)
	create := func(change func(*autoscaling.CreateAutoScalingGroupInput)) error {
		in := &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: aws.String("g"), MinSize: aws.Int32(0), MaxSize: aws.Int32(3), DesiredCapacity: aws.Int32(2),
			LaunchTemplate:    &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("nodes"), Version: aws.String("$Latest")},
			VPCZoneIdentifier: aws.String(w.Subnets()["us-west-2a"] + "," + w.Subnets()["us-west-2b"]),
			Tags:              []types.Tag{{Key: aws.String("k8s.io/cluster-autoscaler/enabled"), Value: aws.String("")}, {Key: aws.String("team"), Value: aws.String("x"), PropagateAtLaunch: aws.Bool(true)}}}
		change(in)
		_, err := c.asg.CreateAutoScalingGroup(t.Context(), in)
		return err
	}
	tests := []struct {
		name   string
		change func(*autoscaling.CreateAutoScalingGroupInput)
		code   string
	}{
		{"no template", func(in *autoscaling.CreateAutoScalingGroupInput) { in.LaunchTemplate = nil }, "ValidationError"},
		{"unknown template", func(in *autoscaling.CreateAutoScalingGroupInput) {
			in.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("none")}
		}, "ValidationError"},
		{"unknown version", func(in *autoscaling.CreateAutoScalingGroupInput) { in.LaunchTemplate.Version = aws.String("7") }, "ValidationError"},
		{"desired above max", func(in *autoscaling.CreateAutoScalingGroupInput) { in.DesiredCapacity = aws.Int32(4) }, "ValidationError"},
		{"min above max", func(in *autoscaling.CreateAutoScalingGroupInput) { in.MinSize = aws.Int32(4) }, "ValidationError"},
		{"no zone", func(in *autoscaling.CreateAutoScalingGroupInput) { in.VPCZoneIdentifier = nil }, "ValidationError"},
		{"unknown subnet", func(in *autoscaling.CreateAutoScalingGroupInput) { in.VPCZoneIdentifier = aws.String("subnet-0") }, "ValidationError"},
		{"reserved tag", func(in *autoscaling.CreateAutoScalingGroupInput) { in.Tags[0].Key = aws.String("aws:x") }, "ValidationError"},
		{"good", func(*autoscaling.CreateAutoScalingGroupInput) {}, ""},
		{"duplicate", func(*autoscaling.CreateAutoScalingGroupInput) {}, "AlreadyExists"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantCode(t, create(tt.change), tt.code) })
	}
	out := must(c.asg.DescribeAutoScalingGroups(t.Context(), nil))(t).AutoScalingGroups[0]
	if *out.DesiredCapacity != 2 || *out.LaunchTemplate.Version != "$Latest" || len(out.Tags) != 2 || len(out.AvailabilityZones) != 2 || len(out.Instances) != 2 {
		t.Errorf("group %+v", out)
	}
	if _, err := c.asg.DeleteAutoScalingGroup(t.Context(), &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("g")}); true {
		wantCode(t, err, "ResourceInUse")
	}
	_, err := c.asg.DeleteAutoScalingGroup(t.Context(), &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("g"), ForceDelete: aws.Bool(true)})
	wantCode(t, err, "")
	if len(w.Groups()) != 0 || w.Instances()[0].State != awssim.Terminated {
		t.Errorf("after the forced deletion: %d groups, first instance %s", len(w.Groups()), w.Instances()[0].State)
	}
}

// TestMemberIsFromTemplate: what the template says is what the instance is.
func TestMemberIsFromTemplate(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 3, Tags: []awssim.Tag{{Key: "team", Value: "x", Propagate: true}, {Key: "quiet", Value: "y"}}})
	w.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: "ami-3", InstanceType: "m5.xlarge", RoleName: "node", HopLimit: 2,
		HTTPTokens: "required", InstanceMetadataTags: "enabled", UserData: "aGVsbG8=", InstanceTags: map[string]string{"from": "template"}})
	wantCode(t, setDesired(t, c, 1), "")
	i := w.Instances()[0]
	got := fmt.Sprint(i.ImageID, i.Type, i.Role, i.HopLimit, i.HTTPTokens, i.InstanceMetadataTags, string(i.UserData), i.LaunchTemplateVersion)
	if want := fmt.Sprint("ami-3", "m5.xlarge", "node", 2, "required", "enabled", "hello", 2); got != want {
		t.Errorf("instance %s, want %s", got, want)
	}
	for k, v := range map[string]string{"team": "x", "from": "template", "quiet": "", "aws:autoscaling:groupName": "g",
		"aws:ec2launchtemplate:id": i.LaunchTemplateID, "aws:ec2launchtemplate:version": "2"} {
		if i.Tags[k] != v {
			t.Errorf("tag %s is %q, want %q", k, i.Tags[k], v)
		}
	}
	m := must(c.asg.DescribeAutoScalingInstances(t.Context(), &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: []string{i.ID}}))(t).AutoScalingInstances[0]
	if *m.LaunchTemplate.Version != "2" || *m.LaunchTemplate.LaunchTemplateName != "nodes" || *m.LifecycleState != "InService" || *m.AutoScalingGroupName != "g" {
		t.Errorf("member %+v", m)
	}
}

func TestSetDesiredCapacity(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Min: 1, Max: 7, Desired: 1})
	wantCode(t, setDesired(t, c, 8), "ValidationError")
	wantCode(t, setDesired(t, c, 0), "ValidationError")
	wantCode(t, setDesired(t, c, 7), "")
	zones := map[string]int{}
	for _, m := range group(t, w).Members {
		zones[m.Zone]++
	}
	if zones["us-west-2a"] != 3 || zones["us-west-2b"] != 2 || zones["us-west-2c"] != 2 {
		t.Errorf("spread %v, want 3, 2, 2", zones)
	}
	oldest := group(t, w).Members[0].InstanceID
	wantCode(t, setDesired(t, c, 6), "")
	if slices.ContainsFunc(group(t, w).Members, func(m awssim.Member) bool { return m.InstanceID == oldest }) {
		t.Error("scale-in did not take the oldest instance of the fullest zone")
	}
	a := must(c.asg.DescribeScalingActivities(t.Context(), &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String("g")}))(t).Activities
	if !strings.HasPrefix(*a[0].Description, "Terminating EC2 instance: "+oldest) || a[0].StatusCode != "Successful" || !strings.Contains(*a[0].Cause, "from 7 to 6") {
		t.Errorf("newest activity %s: %s", *a[0].Description, *a[0].Cause)
	}
	_, err := c.asg.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("none"), DesiredCapacity: aws.Int32(1)})
	wantCode(t, err, "ValidationError")
}

func TestTerminateInGroup(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Min: 1, Max: 3, Desired: 2})
	first, second := group(t, w).Members[0].InstanceID, group(t, w).Members[1].InstanceID
	wantCode(t, terminate(t, c, first, true), "")
	if g := group(t, w); g.Desired != 1 || len(g.Members) != 1 || g.Members[0].InstanceID != second {
		t.Errorf("with decrement: desired %d members %+v", g.Desired, g.Members)
	}
	if i := must(w.Instance(first))(t); i.State != awssim.Terminated {
		t.Errorf("the instance is %s", i.State)
	}
	wantCode(t, terminate(t, c, second, true), "ValidationError") // below MinSize
	wantCode(t, terminate(t, c, first, true), "ValidationError")  // not a member any more
	wantCode(t, terminate(t, c, second, false), "")
	if g := group(t, w); g.Desired != 1 || len(g.Members) != 1 || g.Members[0].InstanceID == second {
		t.Errorf("without decrement: desired %d members %+v", g.Desired, g.Members)
	}
}

func TestProtection(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 3, Desired: 3, ProtectNew: true})
	wantCode(t, setDesired(t, c, 1), "")
	g := group(t, w)
	if len(g.Members) != 3 || g.Desired != 1 || g.Activities[0].Status != "Failed" || !strings.Contains(g.Activities[0].Message, "protected from scale-in") {
		t.Errorf("all protected: %d members, desired %d, activity %+v", len(g.Members), g.Desired, g.Activities[0])
	}
	open := g.Members[1].InstanceID
	_, err := c.asg.SetInstanceProtection(t.Context(), &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("g"), InstanceIds: []string{open}, ProtectedFromScaleIn: aws.Bool(false)})
	wantCode(t, err, "")
	if g := group(t, w); len(g.Members) != 2 || g.Members[0].InstanceID == open || g.Members[1].InstanceID == open {
		t.Errorf("unprotected one stayed: %+v", g.Members)
	}
	_, err = c.asg.SetInstanceProtection(t.Context(), &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("g"), InstanceIds: []string{"i-00000000"}, ProtectedFromScaleIn: aws.Bool(true)})
	wantCode(t, err, "ValidationError")
	// A named instance can be terminated although it is protected.
	wantCode(t, terminate(t, c, group(t, w).Members[0].InstanceID, true), "")
}

func TestLostMemberIsReplaced(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 3, Desired: 1})
	for _, lose := range []func(id string){
		func(id string) {
			must(c.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}}))(t)
		},
		func(id string) { w.Halted(id) },
	} {
		old := group(t, w).Members[0].InstanceID
		lose(old)
		g := group(t, w)
		if len(g.Members) != 1 || g.Members[0].InstanceID == old || g.Desired != 1 || must(w.Instance(old))(t).State != awssim.Terminated {
			t.Errorf("members %+v desired %d", g.Members, g.Desired)
		}
	}
}

func TestSuspendedProcesses(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 5, Desired: 1})
	processes := func(names ...string) []string { return names }
	_, err := c.asg.SuspendProcesses(t.Context(), &autoscaling.SuspendProcessesInput{AutoScalingGroupName: aws.String("g"), ScalingProcesses: processes("Launch", "Terminate", "AZRebalance")})
	wantCode(t, err, "")
	wantCode(t, setDesired(t, c, 3), "")
	if n := len(group(t, w).Members); n != 1 {
		t.Errorf("%d members while Launch is suspended", n)
	}
	_, err = c.asg.ResumeProcesses(t.Context(), &autoscaling.ResumeProcessesInput{AutoScalingGroupName: aws.String("g"), ScalingProcesses: processes("Launch")})
	wantCode(t, err, "")
	wantCode(t, setDesired(t, c, 0), "")
	if g := group(t, w); len(g.Members) != 3 || len(g.Suspended) != 2 {
		t.Errorf("%d members while Terminate is suspended, suspended %v", len(g.Members), g.Suspended)
	}
	_, err = c.asg.ResumeProcesses(t.Context(), &autoscaling.ResumeProcessesInput{AutoScalingGroupName: aws.String("g")})
	wantCode(t, err, "")
	if n := len(group(t, w).Members); n != 0 {
		t.Errorf("%d members after resuming", n)
	}
	_, err = c.asg.SuspendProcesses(t.Context(), &autoscaling.SuspendProcessesInput{AutoScalingGroupName: aws.String("g"), ScalingProcesses: processes("Dance")})
	wantCode(t, err, "ValidationError")
}

func TestCapacityFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newGroup(t, awssim.GroupSpec{Max: 9})
		defer w.Close()
		inA := w.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{InstanceType: "m5.large", Zone: "us-west-2a"}})
		wantCode(t, setDesired(t, c, 2), "")
		g := group(t, w)
		if len(g.Members) != 2 || g.Members[0].Zone == "us-west-2a" || g.Members[1].Zone == "us-west-2a" {
			t.Errorf("with one zone dry: %+v", g.Members)
		}
		w.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{Zone: "us-west-2b"}})
		inC := w.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{Zone: "us-west-2c"}})
		wantCode(t, setDesired(t, c, 3), "")
		if g := group(t, w); len(g.Members) != 2 || g.Desired != 3 {
			t.Errorf("with all zones dry: %d members, desired %d", len(g.Members), g.Desired)
		}
		a := must(c.asg.DescribeScalingActivities(t.Context(), &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String("g"), MaxRecords: aws.Int32(1)}))(t).Activities[0]
		want := "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient m5.large capacity in the Availability Zone you requested (us-west-2"
		if a.StatusCode != "Failed" || !strings.HasPrefix(*a.StatusMessage, want) || !strings.HasSuffix(*a.StatusMessage, "Launching EC2 instance failed.") || *a.Progress != 100 {
			t.Errorf("activity %s: %s", a.StatusCode, *a.StatusMessage)
		}
		failed := len(group(t, w).Activities)
		bubble.Sleep(31 * time.Second)
		if n := len(group(t, w).Activities); n != failed+3 {
			t.Errorf("%d activities after a retry, want %d", n, failed+3)
		}
		inA()
		inC()
		if n := len(group(t, w).Members); n != 3 {
			t.Errorf("%d members once there is capacity, want 3", n)
		}
	})
}
