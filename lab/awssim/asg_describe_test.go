package awssim_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

func TestDescribeGroupsPagesAndFilters(t *testing.T) {
	w, c := newWorld(t)
	template(w)
	for n := range 7 {
		spec := awssim.GroupSpec{Name: fmt.Sprint("g", n), LaunchTemplate: "nodes", Max: 1}
		if n%2 == 0 {
			spec.Tags = []awssim.Tag{{Key: "k8s.io/cluster-autoscaler/enabled"}, {Key: "k8s.io/cluster-autoscaler/demo", Value: "owned"}}
		}
		if err := w.PutGroup(spec); err != nil {
			t.Fatal(err)
		}
	}
	list := func(in *autoscaling.DescribeAutoScalingGroupsInput) (n int) {
		p := autoscaling.NewDescribeAutoScalingGroupsPaginator(c.asg, in)
		for p.HasMorePages() {
			n += len(must(p.NextPage(t.Context()))(t).AutoScalingGroups)
		}
		return n
	}
	filters := func(pairs ...string) (out []types.Filter) {
		for n := 0; n < len(pairs); n += 2 {
			out = append(out, types.Filter{Name: aws.String(pairs[n]), Values: []string{pairs[n+1]}})
		}
		return out
	}
	if n := list(&autoscaling.DescribeAutoScalingGroupsInput{MaxRecords: aws.Int32(2)}); n != 7 || len(w.CallsTo("autoscaling", "DescribeAutoScalingGroups")) != 4 {
		t.Errorf("%d groups in %d pages, want 7 in 4", n, len(w.CallsTo("autoscaling", "DescribeAutoScalingGroups")))
	}
	for want, f := range map[int][]types.Filter{
		4: filters("tag-key", "k8s.io/cluster-autoscaler/enabled", "tag-key", "k8s.io/cluster-autoscaler/demo"),
		0: filters("tag-key", "k8s.io/*"),
	} {
		if n := list(&autoscaling.DescribeAutoScalingGroupsInput{Filters: f}); n != want {
			t.Errorf("filter found %d, want %d", n, want)
		}
	}
	if n := list(&autoscaling.DescribeAutoScalingGroupsInput{Filters: filters("tag:k8s.io/cluster-autoscaler/demo", "owned")}); n != 4 {
		t.Errorf("tag:KEY found %d, want 4", n)
	}
	if n := list(&autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"g1", "none"}}); n != 1 {
		t.Errorf("names found %d, want 1", n)
	}
	_, err := c.asg.DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{Filters: filters("name", "g")})
	wantCode(t, err, "ValidationError")
	_, err = c.asg.DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{MaxRecords: aws.Int32(101)})
	wantCode(t, err, "ValidationError")
	_, err = c.asg.CreateOrUpdateTags(t.Context(), &autoscaling.CreateOrUpdateTagsInput{Tags: []types.Tag{{ResourceId: aws.String("g1"), ResourceType: aws.String("auto-scaling-group"), Key: aws.String("new"), Value: aws.String("1"), PropagateAtLaunch: aws.Bool(true)}}})
	wantCode(t, err, "")
	tags := must(c.asg.DescribeTags(t.Context(), &autoscaling.DescribeTagsInput{Filters: filters("auto-scaling-group", "g1")}))(t).Tags
	if len(tags) != 1 || *tags[0].Key != "new" || !*tags[0].PropagateAtLaunch {
		t.Errorf("tags %+v", tags)
	}
	_, err = c.asg.DeleteTags(t.Context(), &autoscaling.DeleteTagsInput{Tags: []types.Tag{{ResourceId: aws.String("g1"), Key: aws.String("new")}}})
	wantCode(t, err, "")
	if g := must(w.Group("g1"))(t); len(g.Tags) != 0 {
		t.Errorf("tags after their deletion %+v", g.Tags)
	}
}

func TestUpdateGroup(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 3, Desired: 3})
	update := func(in autoscaling.UpdateAutoScalingGroupInput) error {
		in.AutoScalingGroupName = aws.String("g")
		_, err := c.asg.UpdateAutoScalingGroup(t.Context(), &in)
		return err
	}
	wantCode(t, update(autoscaling.UpdateAutoScalingGroupInput{MaxSize: aws.Int32(2)}), "")
	if g := group(t, w); g.Desired != 2 || len(g.Members) != 2 {
		t.Errorf("lower max: desired %d, %d members", g.Desired, len(g.Members))
	}
	wantCode(t, update(autoscaling.UpdateAutoScalingGroupInput{MaxSize: aws.Int32(9), DesiredCapacity: aws.Int32(10)}), "ValidationError")
	if g := group(t, w); g.Max != 2 {
		t.Errorf("a refused update changed max to %d", g.Max)
	}
}

// TestGroupWithoutTemplate stands for a group made from a launch configuration.
func TestGroupWithoutTemplate(t *testing.T) {
	w, c := newWorld(t)
	if err := w.PutGroup(awssim.GroupSpec{Name: "old", InstanceType: "t3.large", Max: 1, Desired: 1}); err != nil {
		t.Fatal(err)
	}
	g := must(c.asg.DescribeAutoScalingGroups(t.Context(), nil))(t).AutoScalingGroups[0]
	if g.LaunchTemplate != nil || g.LaunchConfigurationName == nil || g.Instances[0].LaunchTemplate != nil || *g.Instances[0].InstanceType != "t3.large" {
		t.Errorf("group %+v", g)
	}
}

// TestHealthCheckTakesTime: a group sees a lost instance only at its next check.
func TestHealthCheckTakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Timing: awssim.Timing{Health: 10 * time.Second}}
		defer w.Close()
		template(w)
		if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 2, Desired: 2}); err != nil {
			t.Fatal(err)
		}
		before := group(t, w).Members
		w.Terminate(before[0].InstanceID)
		w.Halted(before[1].InstanceID)
		bubble.Sleep(9 * time.Second)
		if got := group(t, w).Members; got[0] != before[0] || got[1] != before[1] {
			t.Errorf("members before the check: %+v", got)
		}
		bubble.Sleep(2 * time.Second)
		for _, m := range group(t, w).Members {
			if m == before[0] || m == before[1] || m.Lifecycle != "InService" {
				t.Errorf("member after the check: %+v", m)
			}
		}
	})
}
