package lifecycle_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/lab/awssim"
)

// An instance that its launch hook holds is in service once it is a node, and not
// before.
func TestLaunchHookHoldsUntilReady(t *testing.T) {
	s := open(t)
	i := s.launch(launching, 1)[0]
	early := false
	states := s.await("instance "+i.ID+" is in service", launched, func(context.Context) (string, bool) {
		before := s.state(launching, i.ID) // then the Node: that may be Ready already, but not yet
		if before == "InService" && s.readySince(i).IsZero() {
			early = true
		}
		return before, before == "InService"
	})
	if !slices.Contains(states, "Pending:Wait") || early {
		t.Errorf("states %q, in service before its Node was Ready: %t", states, early)
	}
	answer := s.answered(i.ID, launchHook+" CONTINUE")[0]
	if ready := s.readySince(i); ready.IsZero() || answer.Time.Before(ready) {
		t.Errorf("answered at %s, Ready since %s", answer.Time, ready)
	}
	s.told(corev1.EventTypeNormal, "LifecycleContinue", "Node "+i.PrivateDNSName, "instance "+i.ID, "Joined", "is Ready")
	time.Sleep(7 * time.Second) // the next look is after five
	asked := slices.DeleteFunc(s.World.CallsTo("autoscaling", "CompleteLifecycleAction"), func(c awssim.Call) bool { return c.Params["InstanceId"] != i.ID })
	if len(asked) != 1 {
		t.Errorf("%d answers, those that AWS refused among them: expected one", len(asked))
	}
}

// An instance that cannot join is held for its time, beyond the hook's own, and
// then replaced.
func TestLaunchHookAbandonsWhoCannotJoin(t *testing.T) {
	s := open(t)
	i := s.launch(doomed, 1)[0]
	defer s.want(doomed, 0)
	states := s.await("instance "+i.ID+" is given up", joinTimeout+launched, func(context.Context) (string, bool) {
		got := s.state(doomed, i.ID)
		return got, strings.HasPrefix(got, "Terminating") || got == ""
	})
	if !slices.Contains(states, "Pending:Wait") || slices.Contains(states, "InService") {
		t.Errorf("states %q", states)
	}
	answer := s.answered(i.ID, launchHook+" ABANDON")[0]
	if waited := answer.Time.Sub(i.LaunchTime); waited < joinTimeout {
		t.Errorf("abandoned %s after its launch: expected %s", waited, joinTimeout)
	}
	beats := s.heartbeats(i.ID)
	if len(beats) < 2 || beats[len(beats)-1].Time.Sub(beats[0].Time) < heartbeat/2 {
		t.Errorf("%d heartbeats: expected that they hold the instance for more than %s", len(beats), heartbeat)
	}
	s.told(corev1.EventTypeWarning, "LifecycleAbandon", "instance "+i.ID, "JoinTimeout", "no Ready Node within 1m0s", "there is no Node "+i.PrivateDNSName)
	s.await("another takes its place", launched, func(context.Context) (string, bool) {
		for _, m := range s.members(doomed) {
			if m.InstanceID != i.ID {
				return m.InstanceID + " " + m.Lifecycle, true
			}
		}
		return "", false
	})
	if n := s.node(i); n != nil {
		t.Errorf("there is a Node %s", n.Name)
	}
}
