package loop_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// The main story: pods come, the group grows for them; pods go, it shrinks back.
func TestGroupGrowsAndShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 1, 1)
		f.join()
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pend(10, "app", "500m", "512Mi")
		bubble.Sleep(time.Second)
		// The node that is there takes 4 pods of half a CPU, two new ones 8.
		if d := f.desired("workers"); d != 3 {
			t.Fatalf("desired is %d a second after ten pods pended, want 3: %+v", d, f.decisions()[0])
		}
		if n, sum := f.latency(); n == 0 || sum/float64(n) > 1 {
			t.Errorf("%d pods were waiting %f s in sum for desired capacity", n, sum)
		}
		if f.eventsWith("TriggeredScaleUp pod triggered scale-up: [{workers 1->3 (max: 10)}]") == 0 {
			t.Error("no TriggeredScaleUp event")
		}
		bubble.Sleep(5 * time.Minute)
		if d := f.desired("workers"); d != 3 {
			t.Fatalf("desired is %d while nodes are on their way, want 3", d)
		}
		f.join()
		f.report(corev1.ConditionFalse, v1alpha1.PodsRunning)
		f.schedule()
		bubble.Sleep(time.Minute)
		f.deletePods()
		f.report(corev1.ConditionTrue, v1alpha1.Idle)
		bubble.Sleep(time.Minute)
		if d := f.desired("workers"); d != 1 {
			t.Errorf("desired is %d a minute after the last pod, want the minimum of 1: %+v", d, f.decisions()[0])
		}
		if n := f.removed.Load(); n != 2 {
			t.Errorf("told of %d removals, want 2", n)
		}
		if n := len(f.aws.CallsTo("autoscaling", "SetDesiredCapacity")); n != 1 {
			t.Errorf("desired capacity was written %d times, want once", n)
		}
	})
}

func TestPodThatNeverFitsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 0, 0)
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pend(1, "huge", "64", "1Gi")
		bubble.Sleep(time.Minute)
		if d := f.desired("workers"); d != 0 {
			t.Errorf("desired is %d, want 0", d)
		}
		if n := f.eventsWith("NotTriggerScaleUp pod didn't trigger scale-up: 0/1 groups can help: workers:"); n != 1 {
			t.Errorf("%d events in a minute, want 1", n)
		}
		last := f.decisions()[0]
		if len(last.Unhelped) != 1 || !strings.Contains(last.Unhelped[0].Reason, "cpu") {
			t.Errorf("the decision holds %+v", last.Unhelped)
		}
	})
}

func TestOtherGroupHelpsWhenOneHasNoCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("a", 0, 0, "us-west-2a")
		f.group("b", 0, 0, "us-west-2b")
		f.aws.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{Zone: "us-west-2a"}})
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pend(1, "app", "1", "1Gi")
		bubble.Sleep(30 * time.Second)
		if b := f.desired("b"); b != 1 {
			t.Errorf("desired is %d in b, want 1: %+v", b, f.decisions()[0])
		}
		blocked := ""
		for _, g := range f.decisions()[0].Groups {
			if g.Name == "a" {
				blocked = g.Blocked
			}
		}
		if !strings.Contains(blocked, "InsufficientInstanceCapacity") {
			t.Errorf("group a is blocked by %q", blocked)
		}
	})
}

func TestBrokenAWSEndsNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 0, 0)
		remove := f.aws.Inject(awssim.Fault{Service: "autoscaling", Code: awssim.Throttle})
		defer f.run()()
		f.pend(1, "app", "1", "1Gi")
		bubble.Sleep(time.Minute)
		if last := f.decisions()[0]; len(last.Errors) == 0 {
			t.Errorf("the decision holds no error: %+v", last)
		}
		remove()
		bubble.Sleep(time.Minute)
		if d := f.desired("workers"); d != 1 {
			t.Errorf("desired is %d after AWS came back, want 1", d)
		}
	})
}

func TestSlowChoresHoldUpNoPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 1, 1)
		f.join()
		f.aws.Inject(awssim.Fault{Service: "autoscaling", Action: "SetInstanceProtection", Delay: 20 * time.Second})
		defer f.run()()
		bubble.Sleep(time.Second)
		f.pend(10, "app", "500m", "512Mi")
		bubble.Sleep(2 * time.Second)
		if d := f.desired("workers"); d != 3 {
			t.Errorf("desired is %d 2 s after ten pods pended, want 3: %+v", d, f.decisions()[0])
		}
		bubble.Sleep(time.Minute)
		if n := len(f.aws.CallsTo("autoscaling", "SetInstanceProtection")); n == 0 {
			t.Error("nothing was protected")
		}
	})
}

func TestRestAsksAWSRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 2, 2)
		f.join()
		defer f.run()()
		bubble.Sleep(10 * time.Minute)
		f.aws.ForgetCalls()
		bubble.Sleep(time.Hour)
		// Cluster Autoscaler describes the groups every minute: at most half of that, and
		// the questions about instance refreshes, which it does not ask.
		refreshes := len(f.aws.CallsTo("autoscaling", "DescribeInstanceRefreshes"))
		if n := len(f.aws.Calls()) - refreshes; n > 60/2 || refreshes > 6 {
			t.Errorf("%d AWS calls in an hour of rest and %d about refreshes: %v", n, refreshes, f.aws.Calls()[:5])
		}
	})
}
