package hooks_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

var one = awssim.GroupSpec{Desired: 1}

func TestLaunchIsCompletedWhenTheNodeIsReady(t *testing.T) {
	withRig(t, one, func(r *rig) {
		r.start(policy)
		bubble.Sleep(70 * time.Second)
		r.want("without a Node, past the hook's timeout", "Pending:Wait")
		if n := r.metric("joinery_hooks_waiting", "up"); n != 1 {
			t.Errorf("%v instances waiting", n)
		}
		name := r.join(r.member(0), func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse })
		bubble.Sleep(70 * time.Second)
		r.want("with a Node that is not Ready", "Pending:Wait")
		r.ChangeNode(name, func(n *corev1.Node) {
			n.Status.Conditions[0].Status, n.Status.Conditions[0].LastHeartbeatTime = corev1.ConditionTrue, metav1.Now()
			n.Spec.Taints = []corev1.Taint{{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoSchedule}}
		})
		bubble.Sleep(20 * time.Second)
		r.want("with the taint", "Pending:Wait")
		r.ChangeNode(name, func(n *corev1.Node) { n.Spec.Taints = nil })
		bubble.Sleep(1500 * time.Millisecond)
		r.want("a moment after it is Ready", "Pending:Proceed")
		bubble.Sleep(3 * time.Second)
		r.want("then", "InService")
		r.wantEvent("LifecycleContinue", "Node "+name+" is Ready")
		if n := r.metric("joinery_hook_wait_seconds", "up"); n != 1 {
			t.Errorf("%v waits measured", n)
		}
		if n := r.metric("joinery_hook_actions_total", "continue"); n != 1 {
			t.Errorf("%v times continued", n)
		}
		bubble.Sleep(time.Minute)
		if n := r.metric("joinery_hooks_waiting", "up"); n != 0 {
			t.Errorf("%v instances waiting at the end", n)
		}
	})
}

func TestForeignGroupsAndHooksAreLeftAlone(t *testing.T) {
	noCluster, otherCluster := simcluster.Tags()[:2], simcluster.Tags()
	otherCluster[2].Value = "prod"
	for name, tags := range map[string][]awssim.Tag{"no cluster tag": noCluster, "another cluster's": otherCluster, "not discovered": simcluster.Tags()[1:], "ours": nil} {
		t.Run(name, func(t *testing.T) {
			withRig(t, awssim.GroupSpec{Desired: 1, Tags: tags}, func(r *rig) {
				p := policy
				if tags == nil {
					p.Lifecycle.LaunchHook = "others"
				}
				r.start(p)
				bubble.Sleep(6 * time.Second)
				r.join(r.member(0), nil)
				bubble.Sleep(30 * time.Second)
				r.want("with a Ready Node", "Pending:Wait")
				if n := len(r.CallsTo("autoscaling", "CompleteLifecycleAction")) + len(r.CallsTo("autoscaling", "RecordLifecycleActionHeartbeat")); n != 0 {
					t.Errorf("%d answers to somebody else's hook", n)
				}
			})
		})
	}
}

func TestNodeThatIsNotTheInstancesOwnNeverCompletes(t *testing.T) {
	for name, spoil := range map[string]func(*corev1.Node){
		"another name": func(n *corev1.Node) { n.Name = "ip-10-9-9-9.us-west-2.compute.internal" },
		"another provider id": func(n *corev1.Node) {
			n.Spec.ProviderID = "aws:///us-west-2a/i-0123456789abcdef0"
		},
		"another address": func(n *corev1.Node) { n.Status.Addresses[0].Address = "10.9.9.9" },
	} {
		t.Run(name, func(t *testing.T) {
			withRig(t, one, func(r *rig) {
				r.start(policy)
				bubble.Sleep(6 * time.Second)
				r.join(r.member(0), spoil)
				bubble.Sleep(14 * time.Minute)
				r.want("for all the time that it has", "Pending:Wait")
				if name == "another name" {
					r.wantEvent("Warning LifecycleHeld", "NotBound")
				}
			})
		})
	}
}

func TestInstanceThatCannotJoinIsReplaced(t *testing.T) {
	withRig(t, one, func(r *rig) {
		stop := r.start(policy)
		first := r.member(0).ID
		bubble.Sleep(8 * time.Minute)
		stop() // a new leader goes by the launch, not by its own first look
		r.start(policy)
		bubble.Sleep(7*time.Minute - time.Second)
		if r.want("a second before its time is over", "Pending:Wait"); r.member(0).ID != first {
			t.Fatal("replaced too soon")
		}
		bubble.Sleep(3 * time.Second)
		r.want("then", "Terminating:Wait Pending")
		bubble.Sleep(20 * time.Second)
		if r.want("without a Node there is nothing to drain", "Pending:Wait"); r.member(0).ID == first {
			t.Fatal("not replaced")
		}
		r.wantEvent("Warning LifecycleAbandon", "no Ready Node within 15m0s", "there is no Node")
		r.join(r.member(0), nil)
		bubble.Sleep(5 * time.Second)
		r.want("the second joined", "InService")
	})
}

func TestNoHeartbeatWithoutNeed(t *testing.T) {
	withRig(t, one, func(r *rig) {
		r.start(policy)
		bubble.Sleep(6*time.Second + 5*time.Minute)
		r.want("while it joins", "Pending:Wait")
		if n := len(r.CallsTo("autoscaling", "RecordLifecycleActionHeartbeat")); n < 9 || n > 12 {
			t.Errorf("%d heartbeats in 5 minutes of a hook of one", n)
		}
	})
}

// TestEC2OutageCostsNoInstance: nothing is proven, so nothing is completed or
// abandoned.
func TestEC2OutageCostsNoInstance(t *testing.T) {
	withRig(t, one, func(r *rig) {
		end := r.Inject(awssim.Fault{Service: "ec2", Action: "DescribeInstances", Code: "InternalError", Status: 500})
		r.start(policy)
		bubble.Sleep(6 * time.Second)
		r.join(r.member(0), nil)
		bubble.Sleep(5 * time.Minute)
		r.want("while EC2 is down", "Pending:Wait")
		end()
		bubble.Sleep(30 * time.Second)
		r.want("when it is back", "InService")
	})
}

// inService lets the first member join.
func (r *rig) inService() (awssim.Instance, string) {
	r.T.Helper()
	bubble.Sleep(6 * time.Second)
	in := r.member(0)
	name := r.join(in, nil)
	for range 40 {
		bubble.Sleep(time.Second)
		if r.states() == "InService" {
			break
		}
	}
	bubble.Sleep(10 * time.Second)
	r.want("joined", "InService")
	return in, name
}

func TestTerminationWaitsForItsPods(t *testing.T) {
	withRig(t, one, func(r *rig) {
		r.start(policy)
		in, name := r.inService()
		r.addPod("cart", name, nil)
		yes := true
		r.addPod("logs", name, func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: "DaemonSet", Name: "logs", Controller: &yes}}
		})
		r.addPod("static", name, func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} })
		r.addPod("job", name, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
		r.evictions.Blocked.Store(true)
		r.terminate(in.ID)
		bubble.Sleep(5 * time.Minute)
		r.want("while a disruption budget refuses", "Terminating:Wait")
		n := r.Node(name)
		if !n.Spec.Unschedulable || len(n.Spec.Taints) != 1 || n.Spec.Taints[0].Key != "ToBeDeletedByClusterAutoscaler" {
			t.Errorf("node is not marked: %+v", n.Spec)
		}
		if n := r.pods(); n != 4 {
			t.Errorf("%d pods", n)
		}
		r.evictions.Blocked.Store(false)
		bubble.Sleep(25 * time.Second)
		r.want("when it no longer does", "")
		if n := r.pods(); n != 3 {
			t.Errorf("%d pods left, expected those that do not move", n)
		}
		r.wantEvent("InstanceTerminating evicted", "LifecycleContinue", "no pod is left")
	})
}

func TestAgentsWordIsAReasonToLookAndNoProof(t *testing.T) {
	withRig(t, one, func(r *rig) {
		r.start(policy)
		in, name := r.inService()
		r.addPod("cart", name, nil)
		r.evictions.Blocked.Store(true)
		r.terminate(in.ID)
		bubble.Sleep(70 * time.Second)
		claim := func(status corev1.ConditionStatus) {
			r.ChangeNode(name, func(n *corev1.Node) {
				n.Status.Conditions = append(n.Status.Conditions[:1], corev1.NodeCondition{Type: v1alpha1.ScaleDownReady, Status: status, Reason: string(v1alpha1.Drained)})
			})
		}
		claim(corev1.ConditionTrue)
		bubble.Sleep(15 * time.Second)
		r.want("with a pod left, whatever the agent says", "Terminating:Wait")
		r.ChangeNode(name, func(n *corev1.Node) { n.Status.Conditions = n.Status.Conditions[:1] })
		// Just after a look, so that the next would be ten seconds away.
		looks := len(r.CallsTo("autoscaling", "DescribeAutoScalingGroups"))
		for len(r.CallsTo("autoscaling", "DescribeAutoScalingGroups")) == looks {
			bubble.Sleep(100 * time.Millisecond)
		}
		bubble.Sleep(time.Second)
		r.OK(r.Client.CoreV1().Pods("shop").Delete(r.T.Context(), "cart", metav1.DeleteOptions{}))
		claim(corev1.ConditionTrue)
		bubble.Sleep(1500 * time.Millisecond)
		r.want("a moment after it says so truly", "Terminating:Proceed")
	})
}

func TestDrainEndsAtItsTimeout(t *testing.T) {
	withRig(t, one, func(r *rig) {
		stop := r.start(policy)
		in, name := r.inService()
		r.addPod("cart", name, nil)
		r.evictions.Blocked.Store(true)
		r.terminate(in.ID)
		bubble.Sleep(7 * time.Minute)
		stop() // the drain goes on where it was: its beginning is on the Node
		r.start(policy)
		bubble.Sleep(3 * time.Minute)
		r.want("within its time", "Terminating:Wait")
		bubble.Sleep(75 * time.Second)
		r.want("after it", "")
		r.wantEvent("Warning LifecycleContinue", "DrainTimeout", "shop/cart")
	})
}

func TestTerminationOfAnInstanceWithoutNode(t *testing.T) {
	withRig(t, one, func(r *rig) {
		r.start(policy)
		in, name := r.inService()
		r.OK(r.Client.CoreV1().Nodes().Delete(r.T.Context(), name, metav1.DeleteOptions{}))
		r.terminate(in.ID)
		bubble.Sleep(62 * time.Second)
		r.want("nothing to drain", "")
	})
}

// TestRemovalByTheAutoscalerIsNotHeldUp: it has drained the node already, and
// says when the instance began to end.
func TestRemovalByTheAutoscalerIsNotHeldUp(t *testing.T) {
	withRig(t, one, func(r *rig) {
		r.start(policy)
		in, name := r.inService()
		bubble.Sleep(5 * time.Minute)
		r.ChangeNode(name, func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "ToBeDeletedByClusterAutoscaler", Effect: corev1.TaintEffectNoSchedule}}
		})
		r.loop.Wake() // too early: the state does not show yet
		bubble.Sleep(2 * time.Second)
		r.terminate(in.ID)
		bubble.Sleep(12 * time.Second)
		r.want("soon", "")
	})
}

// TestAnswerByAnother: what somebody else completed meanwhile is done.
func TestAnswerByAnother(t *testing.T) {
	withRig(t, one, func(r *rig) {
		// The instance stays where it is after our answer: another hook holds it.
		r.putHook("scan", "LAUNCHING", 600)
		bubble.Sleep(time.Second)
		r.setDesired(2)
		r.start(policy)
		bubble.Sleep(6 * time.Second)
		r.join(r.member(1), nil)
		bubble.Sleep(2 * time.Minute)
		if n := r.effective(); n != 1 {
			t.Errorf("%d completions", n)
		}
		if n := len(r.CallsTo("autoscaling", "CompleteLifecycleAction")); n != 1 {
			t.Errorf("%d calls to complete", n)
		}
	})
}

func TestRestingLoopAsksLittle(t *testing.T) {
	withRig(t, awssim.GroupSpec{}, func(r *rig) {
		r.start(policy)
		bubble.Sleep(time.Minute)
		r.ForgetCalls()
		bubble.Sleep(time.Hour)
		if n := len(r.Calls()); n > 200 {
			t.Errorf("%d AWS calls in an hour in which nothing is held", n)
		}
	})
}

// A group's hooks are made after the group, as Terraform does, and the first answer about
// them is older. They are known before the first of their timeouts is over.
func TestHooksThatAreShownLateAreSeenInTime(t *testing.T) {
	withRig(t, awssim.GroupSpec{Desired: 0}, func(r *rig) {
		for _, name := range []string{"up", "down"} {
			_, err := r.asg.DeleteLifecycleHook(r.T.Context(), &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: &name})
			r.OK(err)
		}
		r.Settle()
		r.start(policy)
		bubble.Sleep(2 * time.Second) // it has looked, and there were none
		r.putHook("up", "LAUNCHING", 60)
		r.setDesired(1)
		first := r.member(0).ID
		bubble.Sleep(5 * time.Minute)
		r.want("without a Node, long past the hook's timeout", "Pending:Wait")
		if r.member(0).ID != first {
			t.Error("the instance was abandoned by a hook that no one had noticed")
		}
	})
}
