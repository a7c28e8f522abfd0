package awssim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

func suspend(t *testing.T, c clients, names ...string) {
	t.Helper()
	must(c.asg.SuspendProcesses(t.Context(), &autoscaling.SuspendProcessesInput{AutoScalingGroupName: aws.String("g"), ScalingProcesses: names}))(t)
}

func resume(t *testing.T, c clients, names ...string) {
	t.Helper()
	must(c.asg.ResumeProcesses(t.Context(), &autoscaling.ResumeProcessesInput{AutoScalingGroupName: aws.String("g"), ScalingProcesses: names}))(t)
}

// TestSuspendedHealth: an instance that EC2 ended stays a member, healthy or
// not, until the processes that look for it and replace it are back.
func TestSuspendedHealth(t *testing.T) {
	for _, process := range []string{"HealthCheck", "ReplaceUnhealthy", "Terminate"} {
		t.Run(process, func(t *testing.T) {
			w, c := newGroup(t, awssim.GroupSpec{Max: 3, Desired: 2})
			suspend(t, c, process)
			lost := group(t, w).Members[0].InstanceID
			w.Terminate(lost)
			m := group(t, w).Members[0]
			if m.InstanceID != lost || m.Lifecycle != "InService" || m.Healthy != (process == "HealthCheck") {
				t.Errorf("the lost member is %+v", m)
			}
			resume(t, c, process)
			if g := group(t, w); len(g.Members) != 2 || g.Members[0].InstanceID == lost || g.Members[1].InstanceID == lost {
				t.Errorf("after resuming: %+v", g.Members)
			}
		})
	}
}

// TestSuspendedLaunch: what is unhealthy goes and nothing comes, and a named
// instance can be ended although Terminate is suspended.
func TestSuspendedLaunch(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 3, Desired: 2})
	suspend(t, c, "Launch")
	w.Terminate(group(t, w).Members[0].InstanceID)
	if n := len(group(t, w).Members); n != 1 {
		t.Errorf("%d members while Launch is suspended", n)
	}
	suspend(t, c, "Terminate")
	wantCode(t, terminate(t, c, group(t, w).Members[0].InstanceID, true), "")
	if g := group(t, w); len(g.Members) != 0 || g.Desired != 1 {
		t.Errorf("%d members, desired %d", len(g.Members), g.Desired)
	}
}

// TestRebalance: a zone that was dry gets its share once it has capacity, by a
// launch first and an end then; not where it is suspended, and no protected
// instance goes.
func TestRebalance(t *testing.T) {
	for name, want := range map[string]int{"": 2, "suspended": 0, "protected": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &awssim.World{Zones: []string{"us-west-2a", "us-west-2b"}, Weather: awssim.Weather{Rebalance: time.Minute}, Timing: awssim.Timing{Boot: 5 * time.Second}}
				defer w.Close()
				template(w)
				dry := w.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{Zone: "us-west-2a"}})
				if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 4, Desired: 4, ProtectNew: name == "protected"}); err != nil {
					t.Fatal(err)
				}
				if name == "suspended" {
					suspend(t, connect(w, "controller"), "AZRebalance")
				}
				bubble.Sleep(10 * time.Second)
				dry()
				for range 300 {
					bubble.Sleep(time.Second)
					running := 0
					for _, i := range w.Instances() {
						if i.State == awssim.Running {
							running++
						}
					}
					if running < 4 || len(group(t, w).Members) > 5 {
						t.Fatalf("%d run, states %s", running, states(t, w))
					}
				}
				got := 0
				for _, m := range group(t, w).Members {
					if m.Zone == "us-west-2a" {
						got++
					}
				}
				if got != want || len(group(t, w).Members) != 4 {
					t.Errorf("%d of %d members in the zone that was dry, want %d", got, len(group(t, w).Members), want)
				}
			})
		})
	}
}
