package loop_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"github.com/joinery/joinery/controlplane/release"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
	"github.com/joinery/joinery/lab/worlds"
)

// resizeTo sets a group's sizes, as an operator does.
func (f *fixture) resizeTo(group string, least, most, desired int32) {
	f.t.Helper()
	api := autoscaling.NewFromConfig(f.aws.Config("operator"))
	_, err := api.UpdateAutoScalingGroup(f.t.Context(), &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: &group, MinSize: &least, MaxSize: &most, DesiredCapacity: &desired})
	f.ok(err)
}

// protected counts a group's instances in service that are protected from scale-in.
func (f *fixture) protected(group string) (n int) {
	f.t.Helper()
	g, err := f.aws.Group(group)
	f.ok(err)
	for _, m := range g.Members {
		if m.Protected {
			n++
		}
	}
	return n
}

// A group that is retired with maximum and desired capacity 0 loses its idle nodes,
// although they are protected from scale-in.
func TestRetiredGroupEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 1, 3)
		f.join()
		defer f.run()()
		bubble.Sleep(time.Minute)
		if n := f.protected("workers"); n != 3 {
			t.Fatalf("%d instances are protected, want 3", n)
		}
		f.resizeTo("workers", 0, 0, 0)
		during(15*time.Minute, f.idleNodes)
		if n := len(f.running("workers")); n != 0 {
			t.Errorf("%d instances are left, want none: %+v", n, f.decisions()[0])
		}
		if n := len(f.launched("workers")); n != 3 {
			t.Errorf("%d instances were launched, want the first 3", n)
		}
	})
}

// With scale-down disabled Auto Scaling can make groups smaller. A group
// that protects its instances itself keeps them so.
func TestProtectionFollowsTheSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, &awssim.World{}, "scaleDown: {disabled: true}")
		for name, protects := range map[string]bool{"workers": false, "theirs": true} {
			f.ok(f.aws.PutGroup(awssim.GroupSpec{Name: name, Max: 4, Desired: 2, LaunchTemplate: "workers", ProtectNew: protects, Tags: simcluster.Tags()}))
		}
		f.join()
		var ids []string
		for _, in := range f.running("workers") {
			ids = append(ids, in.ID)
		}
		yes, group := true, "workers"
		api := autoscaling.NewFromConfig(f.aws.Config("operator"))
		_, err := api.SetInstanceProtection(t.Context(), &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: &group, InstanceIds: ids, ProtectedFromScaleIn: &yes})
		f.ok(err)
		defer f.run()()
		bubble.Sleep(time.Minute)
		if workers, theirs := f.protected("workers"), f.protected("theirs"); workers != 0 || theirs != 2 {
			t.Errorf("%d and %d instances are protected, want none of workers and 2 of theirs", workers, theirs)
		}
		f.resizeTo("workers", 0, 4, 0)
		bubble.Sleep(time.Minute)
		if n := len(f.running("workers")); n != 0 {
			t.Errorf("%d instances are left, want none", n)
		}
	})
}

// Nothing is removed from a group whose process Terminate is suspended, and it is said why.
func TestGroupThatMayNotTerminateKeepsItsNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 0, 2)
		f.join()
		f.suspend("workers", "Terminate")
		defer f.run()()
		during(15*time.Minute, f.idleNodes)
		if n := len(f.running("workers")); n != 2 {
			t.Errorf("%d instances are left, want 2", n)
		}
		if needed := f.decisions()[0].Needed; len(needed) != 2 || needed[0].Reason != "ScaleDownDisabledAnnotation: the process Terminate of group workers is suspended" {
			t.Errorf("told: %+v", needed)
		}
	})
}

// Instances that come after others of their group did not become nodes do not count as
// launching: another group helps. One of them is replaced after each pause, not after
// each time-out. TestRandomWorlds found both.
func TestNothingIsExpectedAfterAFailure(t *testing.T) {
	w := worlds.World{
		Groups: []worlds.Group{
			{Name: "broken", Type: "t3.medium", Zones: []string{"us-west-2a"}, Min: 1, Max: 5, Desired: 1, Nodes: worlds.NeverJoin},
			{Name: "works", Type: "m5.xlarge", Zones: []string{"us-west-2a"}, Max: 5, Nodes: worlds.Honest},
		},
		Classes: []worlds.Class{{Name: "app", CPU: 1200, Memory: 256}},
		Events:  []worlds.Event{{At: 12 * time.Minute, Kind: worlds.Scale, Class: "app", N: 2}},
		Storm:   15 * time.Minute, Calm: 85 * time.Minute,
	}
	for _, v := range lived(t, w) {
		t.Errorf("%s: %s", v.invariant, v.text)
	}
}

// A group that is released stays so, beside a controller that goes on: it is neither
// protected again nor sized, and nothing is written to it.
func TestReleasedGroupIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 1, 3)
		f.group("others", 1, 1)
		f.join()
		defer f.run()()
		bubble.Sleep(time.Minute)
		if n := f.protected("workers"); n != 3 {
			t.Fatalf("%d instances are protected, want 3", n)
		}
		by := f.cluster.Readers(f.aws.Config("operator"))
		_, err := release.Run(t.Context(), release.Options{
			Fleet: by.Fleet, AutoScaling: by.AutoScaling, EC2: by.EC2, Client: f.kube,
			Cluster: simcluster.Name, Group: "workers", Hooks: []string{"joinery-launch", "joinery-terminate"},
		})
		f.ok(err)
		f.aws.ForgetCalls()
		f.pend(20, "app", "1", "1Gi")
		during(20*time.Minute, f.idleNodes)
		if n, d := f.protected("workers"), f.desired("workers"); n != 0 || d != 3 {
			t.Errorf("%d instances are protected of desired %d, want 0 of 3", n, d)
		}
		if n := f.desired("others"); n < 5 {
			t.Errorf("the other group grew to %d", n)
		}
		for _, action := range []string{"SetInstanceProtection", "SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup"} {
			for _, c := range f.aws.CallsTo("autoscaling", action) {
				if c.Params["AutoScalingGroupName"] == "workers" {
					t.Errorf("%s on the released group", action)
				}
			}
		}
	})
}
