package hooks_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// pool is a group that keeps one instance, in service or in its pool.
func pool(state string) awssim.GroupSpec {
	return awssim.GroupSpec{WarmPool: &awssim.WarmPool{MaxPrepared: 1, State: state, ReuseOnScaleIn: true}}
}

// TestWarmPool goes into the pool, out of it into service, and back: the launch
// hook is met twice and means another thing each time.
func TestWarmPool(t *testing.T) {
	withRig(t, pool("Stopped"), func(r *rig) {
		r.start(policy)
		bubble.Sleep(50 * time.Second)
		r.want("while it warms up", "Warmed:Pending:Wait")
		in := r.member(0)
		bubble.Sleep(30 * time.Second)
		r.want("when it has", "Warmed:Stopped")

		bubble.Sleep(24 * time.Hour)
		r.setDesired(1)
		bubble.Sleep(70 * time.Second)
		r.want("out of the pool, without a Node, past the hook's timeout", "Pending:Wait")
		if r.member(0).ID != in.ID {
			t.Fatal("another instance was launched")
		}
		name := r.join(r.member(0), nil)
		bubble.Sleep(10 * time.Second)
		r.want("joined", "InService")

		r.addPod("cart", name, nil)
		r.evictions.Blocked.Store(true)
		r.setDesired(0)
		bubble.Sleep(3 * time.Minute)
		r.want("on its way back, with a pod that may not move", "Warmed:Pending:Wait")
		if n := r.Node(name); !n.Spec.Unschedulable {
			t.Error("the node is not drained")
		}
		r.evictions.Blocked.Store(false)
		bubble.Sleep(30 * time.Second)
		r.want("drained", "Warmed:Stopped")
		if got := r.effective(); got != 3 {
			t.Errorf("%d completions took effect, expected one for each pass", got)
		}
		if n := r.metric("joinery_hook_actions_total", "past"); n != 0 {
			t.Errorf("%v answers came too late", n)
		}
		if g, err := r.Group("g"); err != nil || g.Members[0].InstanceID != in.ID {
			t.Errorf("members %+v, %v", g.Members, err)
		}
	})
}

// TestRunningWarmPool: the kubelet of an instance that went back runs on, and its
// Node carries our mark until it is wanted again. Its launch says nothing then.
func TestRunningWarmPool(t *testing.T) {
	withRig(t, pool("Running"), func(r *rig) {
		r.start(policy)
		bubble.Sleep(80 * time.Second)
		r.want("warmed up", "Warmed:Running")
		bubble.Sleep(time.Hour)
		r.setDesired(1)
		bubble.Sleep(10 * time.Minute)
		r.want("an hour after its launch", "Pending:Wait")
		name := r.join(r.member(0), func(n *corev1.Node) { n.Spec.Unschedulable = false })
		bubble.Sleep(10 * time.Second)
		r.want("joined", "InService")

		r.setDesired(0)
		bubble.Sleep(90 * time.Second)
		r.want("back in the pool", "Warmed:Running")
		if n := r.Node(name); !n.Spec.Unschedulable || len(n.Spec.Taints) != 1 {
			t.Errorf("the Node of a warm instance takes pods: %+v", n.Spec)
		}
		r.setDesired(1)
		bubble.Sleep(80 * time.Second)
		r.want("out of it again", "InService")
		if n := r.Node(name); n.Spec.Unschedulable || len(n.Spec.Taints) != 0 || len(n.Annotations) != 0 {
			t.Errorf("our mark is still on the Node: %+v %v", n.Spec, n.Annotations)
		}
	})
}

func TestWarmInstanceThatIsLostIsNotWaitedFor(t *testing.T) {
	withRig(t, pool("Stopped"), func(r *rig) {
		r.start(policy)
		bubble.Sleep(10 * time.Second)
		r.want("in the beginning", "Warmed:Pending:Wait")
		lost := r.member(0).ID
		r.Terminate(lost)
		bubble.Sleep(2 * time.Minute)
		if r.want("another has warmed up", "Warmed:Stopped"); r.member(0).ID == lost {
			t.Error("the lost instance is still there")
		}
	})
}

// TestStopOfAHeldInstance: an instance that somebody stopped while it joins does
// not come back by itself.
func TestStopOfAHeldInstance(t *testing.T) {
	withRig(t, one, func(r *rig) {
		r.start(policy)
		bubble.Sleep(6 * time.Second)
		in := r.member(0)
		name := r.join(in, func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse })
		r.Halted(in.ID)
		bubble.Sleep(3 * time.Minute)
		r.OK(r.Client.CoreV1().Nodes().Delete(r.T.Context(), name, metav1.DeleteOptions{}))
		if got, err := r.Instance(in.ID); err != nil || got.State != awssim.Terminated {
			t.Errorf("instance is %s, %v", got.State, err)
		}
	})
}
