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

// TestLag: desired is raised at once, what is launched comes later; with one
// zone dry it comes in another.
func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Weather: awssim.Weather{Lag: 20 * time.Second}}
		defer w.Close()
		template(w)
		if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 4, Desired: 1}); err != nil {
			t.Fatal(err)
		}
		c := connect(w, "controller")
		wantStates(t, w, "InService")
		w.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{Zone: "us-west-2b"}})
		wantCode(t, setDesired(t, c, 3), "")
		if g := group(t, w); g.Desired != 3 || len(g.Members) != 1 {
			t.Errorf("at once: desired %d, %d members", g.Desired, len(g.Members))
		}
		bubble.Sleep(20 * time.Second)
		wantStates(t, w, "InService InService InService")
		for _, m := range group(t, w).Members {
			if m.Zone == "us-west-2b" {
				t.Errorf("%s was launched where there is no capacity", m.InstanceID)
			}
		}
	})
}

// TestRepeatedTermination: refused, or taken and counted twice.
func TestRepeatedTermination(t *testing.T) {
	for repeat, want := range map[awssim.Repeat]struct {
		code    string
		desired int
	}{awssim.Refused: {"ScalingActivityInProgress", 2}, awssim.Taken: {"", 1}} {
		w := &awssim.World{Weather: awssim.Weather{Repeat: repeat}, Timing: awssim.Timing{Shutdown: time.Hour}}
		t.Cleanup(w.Close)
		c := connect(w, "controller")
		template(w)
		if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 4, Desired: 3}); err != nil {
			t.Fatal(err)
		}
		id := group(t, w).Members[0].InstanceID
		wantCode(t, terminate(t, c, id, true), "")
		wantCode(t, terminate(t, c, id, true), want.code)
		if got := group(t, w).Desired; got != want.desired {
			t.Errorf("desired %d after a repetition that is %v, want %d", got, repeat, want.desired)
		}
	}
}

// TestHarsh: one switch turns the worst on, and what is set stays.
func TestHarsh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Harsh: true, Weather: awssim.Weather{Lag: time.Minute}}
		defer w.Close()
		template(w)
		if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 1}); err != nil {
			t.Fatal(err)
		}
		c := connect(w, "controller")
		must(c.asg.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("g"), DesiredCapacity: aws.Int32(1)}))(t)
		if w.Weather.Lag != time.Minute || w.Weather.Repeat != awssim.Either || w.Weather.Rebalance == 0 || len(group(t, w).Members) != 0 {
			t.Errorf("a harsh world has %+v and %d members at once", w.Weather, len(group(t, w).Members))
		}
		bubble.Sleep(time.Minute)
		wantStates(t, w, "InService")
	})
}
