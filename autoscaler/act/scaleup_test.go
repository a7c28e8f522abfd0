package act_test

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/scaleup"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}

func TestScaleUpRaisesAndTellsThePods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 1)
		f.addPod("small", "")
		f.addPod("huge", "")
		plan := scaleup.Decision{
			Increases: []scaleup.Increase{{Group: "workers", From: 1, To: 4, Pods: []types.NamespacedName{key("small"), key("deleted")}}},
			Unhelped:  []scaleup.PodReason{{Pod: key("huge"), UID: "huge", Reason: "0/1 groups can help: workers: Insufficient cpu"}},
		}
		results := f.ScaleUp(t.Context(), plan)
		if len(results) != 1 || !results[0].Changed() || results[0].Raised.To != 4 {
			t.Fatalf("results are %+v", results)
		}
		if g := f.groups()[0]; g.Desired != 4 {
			t.Errorf("desired is %d, want 4", g.Desired)
		}
		const helped, unhelped = "Normal TriggeredScaleUp pod triggered scale-up: [{workers 1->4 (max: 10)}]", "Normal NotTriggerScaleUp pod didn't trigger scale-up: 0/1 groups can help: workers: Insufficient cpu"
		f.event(1, helped)
		f.ScaleUp(t.Context(), scaleup.Decision{Unhelped: plan.Unhelped})
		f.event(0, unhelped)
		bubble.Sleep(6 * time.Minute)
		f.ScaleUp(t.Context(), scaleup.Decision{Unhelped: plan.Unhelped})
		f.event(1, unhelped)
		if again := f.ScaleUp(t.Context(), plan)[0]; again.Changed() || again.Err != nil {
			t.Errorf("the same plan again gave %+v", again)
		}
		f.event(0, "TriggeredScaleUp")
	})
}

func TestScaleUpFailureIsOneGroupsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 1)
		f.addPod("small", "")
		results := f.ScaleUp(t.Context(), scaleup.Decision{Increases: []scaleup.Increase{
			{Group: "absent", From: 1, To: 2, Pods: []types.NamespacedName{key("small")}}, {Group: "workers", From: 1, To: 2},
		}})
		if results[0].Err == nil || !results[1].Changed() {
			t.Errorf("results are %+v", results)
		}
		f.event(1, "FailedToScaleUpGroup", "absent")
	})
}

func TestProtectAndReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 2)
		f.ok(f.Protect(t.Context(), f.groups(), f.bindings()))
		f.aws.Settle()
		f.ok(f.Protect(t.Context(), f.groups(), f.bindings()))
		if calls := f.aws.CallsTo("autoscaling", "SetInstanceProtection"); len(calls) != 1 {
			t.Errorf("%d protecting calls, want 1", len(calls))
		}
		bubble.Sleep(16 * time.Minute)
		replace := func(nodes ...*corev1.Node) int {
			var observed []any
			for _, n := range nodes {
				observed = append(observed, n)
			}
			f.ok(f.nodes.Replace(observed, ""))
			before := len(f.aws.CallsTo("autoscaling", "TerminateInstanceInAutoScalingGroup"))
			f.ok(f.Replace(t.Context(), f.groups(), f.bindings(), time.Now(), 15*time.Minute))
			return len(f.aws.CallsTo("autoscaling", "TerminateInstanceInAutoScalingGroup")) - before
		}
		// A Node without a provider id is no instance, and no reason to keep one.
		master := &corev1.Node{}
		master.Name = "master"
		if n := replace(master, f.node(0), f.node(1)); n != 0 {
			t.Errorf("%d joined instances replaced", n)
		}
		if n := replace(master); n != 0 {
			t.Errorf("%d replaced whose Nodes were deleted a moment ago", n)
		}
		bubble.Sleep(15 * time.Minute)
		if n := replace(master); n != 0 {
			t.Errorf("%d replaced within the time that a Node may take to come back", n)
		}
		bubble.Sleep(time.Second)
		if n := replace(master); n != 0 {
			t.Errorf("%d replaced that the API server knows as Nodes", n)
		}
		for i := range f.ids {
			f.ok(f.kube.CoreV1().Nodes().Delete(t.Context(), nodeName(i), metav1.DeleteOptions{}))
		}
		bubble.Sleep(time.Minute)
		if n := replace(master); n != 1 {
			t.Errorf("%d replaced, want 1", n)
		}
		if n := replace(master); n != 0 {
			t.Errorf("%d replaced at once after the first, want none", n)
		}
		g := f.groups()[0]
		if g.Desired != 1 || !g.LaunchFailure.At.IsZero() {
			t.Errorf("desired %d, failure %+v: a node that was lost is no failure to launch", g.Desired, g.LaunchFailure)
		}
		f.event(1, "NodeLost", "was deleted and did not come back within 15m0s")
	})
}

// A Node of another cloud, or of none, keeps no instance of ours, judged or not: here the
// informer knows nothing of it.
func TestReplaceAmongNodesWithoutProviderID(t *testing.T) {
	for name, id := range map[string]string{"bare metal": "", "another cloud": "gce://project/zone/name"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, 0, 1)
			f.ok(f.kube.CoreV1().Nodes().Delete(t.Context(), nodeName(0), metav1.DeleteOptions{}))
			f.ok(f.nodes.Replace(nil, ""))
			f.ok(f.kube.Tracker().Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "hybrid", UID: "hybrid"}, Spec: corev1.NodeSpec{ProviderID: id}}))
			bubble.Sleep(16 * time.Minute)
			f.ok(f.Replace(t.Context(), f.groups(), f.bindings(), time.Now(), 15*time.Minute))
			if n := len(f.aws.CallsTo("autoscaling", "TerminateInstanceInAutoScalingGroup")); n != 1 {
				t.Errorf("%s: %d instances replaced, want 1", name, n)
			}
			f.event(1, "DeleteUnregistered", "did not become a node within 15m0s")
		})
	}
}

// A new leader knows nothing of Nodes that were. An instance so old that the leader before
// would have replaced it had been one.
func TestNewLeaderTakesAnOldInstanceForALostNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 1)
		f.ok(f.kube.CoreV1().Nodes().Delete(t.Context(), nodeName(0), metav1.DeleteOptions{}))
		f.ok(f.nodes.Replace(nil, ""))
		bubble.Sleep(time.Hour)
		f.restart()
		f.ok(f.Replace(t.Context(), f.groups(), f.bindings(), time.Now(), 15*time.Minute))
		if g := f.groups()[0]; g.Desired != 0 || !g.LaunchFailure.At.IsZero() {
			t.Errorf("desired %d, failure %+v", g.Desired, g.LaunchFailure)
		}
		f.event(1, "NodeLost", "was deleted")
	})
}

func TestJoinedInstanceStaysOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 2)
		both := map[cluster.InstanceID]bool{f.ids[0]: true, f.ids[1]: true}
		if got := f.Joined(f.groups(), f.bindings(), time.Now()); !maps.Equal(got, both) {
			t.Errorf("got %v, want both instances", got)
		}
		f.ok(f.nodes.Replace(nil, ""))
		bubble.Sleep(time.Hour)
		if got := f.Joined(f.groups(), f.bindings(), time.Now()); !maps.Equal(got, both) {
			t.Errorf("an hour after their Nodes were deleted: got %v, want both instances", got)
		}
		pooled := f.groups()
		pooled[0].Instances[0].LifecycleState = "Warmed:Stopped"
		f.Joined(pooled, f.bindings(), time.Now())
		if got := f.Joined(f.groups(), f.bindings(), time.Now()); len(got) != 1 || got[pooled[0].Instances[0].ID] {
			t.Errorf("out of the warm pool again: got %v, want the other instance alone", got)
		}
		if got := f.Joined(nil, f.bindings(), time.Now()); len(got) != 0 {
			t.Errorf("of no group: got %v", got)
		}
	})
}

func TestThrottledWriteIsAnErrorAndNoLaunchFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 1)
		f.aws.Inject(awssim.Fault{Service: "autoscaling", Action: "SetDesiredCapacity", Code: awssim.Throttle})
		r := f.ScaleUp(t.Context(), scaleup.Decision{Increases: []scaleup.Increase{{Group: "workers", From: 1, To: 2}}})[0]
		if r.Err == nil {
			t.Fatal("no error")
		}
		if g := f.groups()[0]; !g.LaunchFailure.At.IsZero() || g.Desired != 1 {
			t.Errorf("desired %d, failure %+v", g.Desired, g.LaunchFailure)
		}
	})
}
