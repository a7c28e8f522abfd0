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

func putHook(t *testing.T, c clients, name, transition string, heartbeat int32, result string) error {
	_, err := c.asg.PutLifecycleHook(t.Context(), &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: &name,
		LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_" + transition), HeartbeatTimeout: &heartbeat, DefaultResult: &result})
	return err
}

func complete(t *testing.T, c clients, hook, id, result string) error {
	_, err := c.asg.CompleteLifecycleAction(t.Context(), &autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: &hook, InstanceId: &id, LifecycleActionResult: &result})
	return err
}

// wantStates fails unless the members are in these states, in launch order.
func wantStates(t *testing.T, w *awssim.World, want string) {
	t.Helper()
	synctest.Wait()
	if got := states(t, w); got != want {
		t.Fatalf("lifecycle states %q, want %q", got, want)
	}
}

func target(t *testing.T, w *awssim.World, id string) string {
	t.Helper()
	state, _ := read(t, metadata(w, id), "autoscaling/target-lifecycle-state")
	return state
}

// TestLifecycle walks one instance through every state.
func TestLifecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Timing: awssim.Timing{Boot: 10 * time.Second, Shutdown: 5 * time.Second, Proceed: time.Second}}
		defer w.Close()
		c := connect(w, "controller")
		template(w)
		if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 2}); err != nil {
			t.Fatal(err)
		}
		wantCode(t, putHook(t, c, "up", "LAUNCHING", 60, "ABANDON"), "")
		wantCode(t, putHook(t, c, "down", "TERMINATING", 60, "CONTINUE"), "")
		wantCode(t, setDesired(t, c, 1), "")
		wantStates(t, w, "Pending")
		id := w.Instances()[0].ID
		if got := w.Instances()[0].State; got != awssim.Pending {
			t.Errorf("EC2 state %s", got)
		}
		if got := target(t, w, id); got != "InService" {
			t.Errorf("target state %q while launching", got)
		}
		bubble.Sleep(11 * time.Second)
		wantStates(t, w, "Pending:Wait")
		wantCode(t, complete(t, c, "up", "i-00000000", "CONTINUE"), "ValidationError")
		wantCode(t, complete(t, c, "none", id, "CONTINUE"), "ValidationError")
		wantCode(t, complete(t, c, "up", id, "MAYBE"), "ValidationError")
		wantCode(t, complete(t, c, "up", id, "CONTINUE"), "")
		wantStates(t, w, "Pending:Proceed")
		bubble.Sleep(2 * time.Second)
		wantStates(t, w, "InService")
		wantCode(t, complete(t, c, "up", id, "CONTINUE"), "ValidationError")

		wantCode(t, terminate(t, c, id, true), "")
		wantStates(t, w, "Terminating:Wait")
		if got := target(t, w, id); got != "Terminated" {
			t.Errorf("target state %q while terminating", got)
		}
		// Asking twice does not lower the capacity twice.
		wantCode(t, terminate(t, c, id, true), "ScalingActivityInProgress")
		if i := must(w.Instance(id))(t); i.State != awssim.Running {
			t.Errorf("EC2 state %s while a hook holds the instance", i.State)
		}
		bubble.Sleep(50 * time.Second)
		_, err := c.asg.RecordLifecycleActionHeartbeat(t.Context(), &autoscaling.RecordLifecycleActionHeartbeatInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: aws.String("down"), InstanceId: &id})
		wantCode(t, err, "")
		bubble.Sleep(50 * time.Second)
		wantStates(t, w, "Terminating:Wait")
		bubble.Sleep(10*time.Second + time.Millisecond)
		wantStates(t, w, "Terminating:Proceed")
		bubble.Sleep(time.Second)
		if i := must(w.Instance(id))(t); i.State != awssim.ShuttingDown {
			t.Errorf("EC2 state %s", i.State)
		}
		bubble.Sleep(6 * time.Second)
		wantStates(t, w, "")
		if i := must(w.Instance(id))(t); i.State != awssim.Terminated {
			t.Errorf("EC2 state %s", i.State)
		}
		bubble.Sleep(2 * time.Hour)
		if n := len(ids(t, c, nil)); n != 0 {
			t.Errorf("%d instances described long after their end", n)
		}
	})
}

func TestLaunchTimeoutReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newGroup(t, awssim.GroupSpec{Max: 2})
		defer w.Close()
		wantCode(t, putHook(t, c, "up", "LAUNCHING", 30, "ABANDON"), "")
		wantCode(t, setDesired(t, c, 1), "")
		first := group(t, w).Members[0].InstanceID
		bubble.Sleep(30*time.Second + time.Millisecond)
		wantStates(t, w, "Pending:Wait")
		g := group(t, w)
		if g.Members[0].InstanceID == first || g.Desired != 1 || must(w.Instance(first))(t).State != awssim.Terminated {
			t.Errorf("abandoned launch was not replaced: %+v", g.Members)
		}
		cancelled := 0
		for _, a := range g.Activities {
			if a.Status == "Cancelled" {
				cancelled++
			}
		}
		if cancelled != 1 {
			t.Errorf("%d cancelled activities, want 1", cancelled)
		}
		wantCode(t, complete(t, c, "up", g.Members[0].InstanceID, "ABANDON"), "")
		if group(t, w).Members[0].InstanceID == g.Members[0].InstanceID {
			t.Error("ABANDON at launch left the instance")
		}
	})
}

// TestHeartbeatsEnd: heartbeats cannot hold an instance beyond a hundred timeouts.
func TestHeartbeatsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newGroup(t, awssim.GroupSpec{Max: 2, Desired: 1})
		defer w.Close()
		wantCode(t, putHook(t, c, "down", "TERMINATING", 30, "ABANDON"), "")
		id := group(t, w).Members[0].InstanceID
		wantCode(t, terminate(t, c, id, true), "")
		beats := 0
		for beats < 200 {
			bubble.Sleep(20 * time.Second)
			_, err := c.asg.RecordLifecycleActionHeartbeat(t.Context(), &autoscaling.RecordLifecycleActionHeartbeatInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: aws.String("down"), InstanceId: &id})
			if err != nil {
				break
			}
			beats++
		}
		if beats != 149 && beats != 150 {
			t.Errorf("%d heartbeats of 20 s fitted into 3000 s", beats)
		}
		wantStates(t, w, "")
	})
}

// TestEC2TerminationSkipsHook: what EC2 ends, no hook can hold.
func TestEC2TerminationSkipsHook(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 2, Desired: 1})
	wantCode(t, putHook(t, c, "down", "TERMINATING", 60, "CONTINUE"), "")
	id := group(t, w).Members[0].InstanceID
	w.Terminate(id)
	g := group(t, w)
	if len(g.Members) != 1 || g.Members[0].InstanceID == id || g.Members[0].Lifecycle != "InService" {
		t.Errorf("members %+v", g.Members)
	}
	// A guest that powers itself off is stopped, unhealthy, and held by the hook.
	w.Halted(g.Members[0].InstanceID)
	if got := states(t, w); got != "Terminating:Wait InService" {
		t.Errorf("states after halt: %q", got)
	}
}

func TestHookSettings(t *testing.T) {
	w, c := newGroup(t, awssim.GroupSpec{Max: 2})
	wantCode(t, putHook(t, c, "h", "LAUNCHING", 29, "ABANDON"), "ValidationError")
	wantCode(t, putHook(t, c, "h", "LAUNCHING", 7201, "ABANDON"), "ValidationError")
	wantCode(t, putHook(t, c, "h", "DANCING", 60, "ABANDON"), "ValidationError")
	wantCode(t, putHook(t, c, "h", "LAUNCHING", 60, "MAYBE"), "ValidationError")
	wantCode(t, putHook(t, c, "h", "LAUNCHING", 7200, "CONTINUE"), "")
	out := must(c.asg.DescribeLifecycleHooks(t.Context(), &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: aws.String("g")}))(t)
	if h := out.LifecycleHooks[0]; *h.GlobalTimeout != 172800 || *h.HeartbeatTimeout != 7200 || *h.DefaultResult != "CONTINUE" || h.NotificationTargetARN != nil {
		t.Errorf("hook %+v", h)
	}
	wantCode(t, setDesired(t, c, 1), "")
	if got := states(t, w); got != "Pending:Wait" {
		t.Fatalf("states %q", got)
	}
	_, err := c.asg.DeleteLifecycleHook(t.Context(), &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: aws.String("h")})
	wantCode(t, err, "")
	if got := states(t, w); got != "InService" {
		t.Errorf("states after the hook's deletion %q", got)
	}
	_, err = c.asg.DeleteLifecycleHook(t.Context(), &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: aws.String("h")})
	wantCode(t, err, "ValidationError")
}
