package hooks_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/controlplane/hooks"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/lab/bubble"
)

// moved is an Auto Scaling whose instances are in another state by the time that
// they are looked at again.
type moved struct {
	*awsfleet.Reader
	to fleet.Lifecycle
}

func (m moved) Lifecycles(_ context.Context, ids ...string) (map[string]fleet.Lifecycle, error) {
	return map[string]fleet.Lifecycle{ids[0]: m.to}, nil
}

// TestNoAnswerForAnotherPass: the hook that lets an instance into the pool holds
// it again on its way out. An answer that comes late must not be taken for the
// second.
func TestNoAnswerForAnotherPass(t *testing.T) {
	withRig(t, pool("Stopped"), func(r *rig) {
		d := r.deps(r.Config("controller"))
		d.Finder = moved{d.Finder.(*awsfleet.Reader), "Pending:Wait"}
		l := hooks.NewLoop(d, policy)
		ctx, cancel := context.WithTimeout(r.T.Context(), 10*time.Minute)
		defer cancel()
		_ = l.Run(ctx)
		if n := len(r.CallsTo("autoscaling", "CompleteLifecycleAction")); n != 0 {
			t.Errorf("%d answers", n)
		}
	})
}

// TestAnswerFollowsFreshState: what the watch says may be behind what is.
func TestAnswerFollowsFreshState(t *testing.T) {
	for name, now := range map[string]func(n *corev1.Node) error{
		"Ready no more":      func(n *corev1.Node) error { n.Status.Conditions[0].Status = corev1.ConditionUnknown; return nil },
		"another instance's": func(n *corev1.Node) error { n.Spec.ProviderID = "aws:///us-west-2a/" + id; return nil },
		"gone": func(n *corev1.Node) error {
			return apierrors.NewNotFound(corev1.SchemeGroupVersion.WithResource("nodes").GroupResource(), n.Name)
		},
	} {
		t.Run(name, func(t *testing.T) {
			withRig(t, one, func(r *rig) {
				bubble.Sleep(6 * time.Second)
				r.join(r.member(0), nil)
				r.Client.PrependReactor("get", "nodes", func(a clienttesting.Action) (bool, runtime.Object, error) {
					_, o, err := clienttesting.ObjectReaction(r.Client.Tracker())(a)
					n, ok := o.(*corev1.Node)
					if err != nil || !ok {
						return true, o, err
					}
					n = n.DeepCopy()
					err = now(n)
					return true, n, err
				})
				r.start(policy)
				bubble.Sleep(50 * time.Second)
				r.want("whatever the watch says", "Pending:Wait")
				if n := len(r.CallsTo("autoscaling", "CompleteLifecycleAction")); n != 0 {
					t.Errorf("%d answers", n)
				}
			})
		})
	}
}

// TestPodThatCameLastIsWaitedFor: a pod that was bound to the node before the mark
// shows up after it.
func TestPodThatCameLastIsWaitedFor(t *testing.T) {
	withRig(t, one, func(r *rig) {
		r.start(policy)
		in, name := r.inService()
		late := false
		r.Client.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
			if !late {
				late = true
				time.AfterFunc(500*time.Millisecond, func() { r.addPod("late", name, nil) })
			}
			return false, nil, nil
		})
		r.evictions.Blocked.Store(true)
		r.terminate(in.ID)
		bubble.Sleep(2 * time.Minute)
		r.want("with the late pod", "Terminating:Wait")
		r.OK(r.Client.CoreV1().Pods("shop").Delete(r.T.Context(), "late", metav1.DeleteOptions{}))
		bubble.Sleep(20 * time.Second)
		r.want("without", "")
	})
}
