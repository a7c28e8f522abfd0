package hooks_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/controlplane/hooks/queue"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// lead runs a loop and the listener of the queue "events" beside it, as a leader
// does, until the test ends or stop is called.
func (r *rig) lead() (stop func()) {
	stopLoop := r.start(policy)
	ctx, cancel := context.WithCancel(r.T.Context())
	done := make(chan struct{})
	l := queue.NewListener(queue.Deps{
		SQS: sqs.NewFromConfig(r.Config("controller")), URL: r.CreateQueue("events"),
		LaunchHook: policy.Lifecycle.LaunchHook, TerminateHook: policy.Lifecycle.TerminateHook,
		Wake: r.loop.Told, Warn: func(string, error) {}, Registry: r.Registry, Log: slog.New(slog.DiscardHandler),
	})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	stop = func() { cancel(); <-done; stopLoop() }
	r.stops = append(r.stops, stop)
	return stop
}

// lateness is how much later than usual an instance is let go by a harsh AWS. Several
// answers in a row must show that it waits before it is.
func lateness(t *testing.T) time.Duration {
	w := &awssim.World{}
	w.Instances() // begins it
	t.Cleanup(w.Close)
	return 4 * w.Weather.Stale
}

// ended returns how long after now the hook lets the instance go, in steps of
// 50 ms.
func (r *rig) ended(state string) time.Duration {
	r.T.Helper()
	for began := time.Now(); ; bubble.Sleep(50 * time.Millisecond) {
		if passed := time.Since(began); !strings.Contains(r.states(), state) || passed > 2*time.Minute {
			return passed
		}
	}
}

func (r *rig) deleteNode(name string) {
	r.T.Helper()
	r.OK(r.Client.CoreV1().Nodes().Delete(r.T.Context(), name, metav1.DeleteOptions{}))
}

// TestEventsShortenTheWaits: at whatever moment between two polls an instance
// begins to wait, with the queue it is let go within two seconds. Without it that
// takes up to a minute.
func TestEventsShortenTheWaits(t *testing.T) {
	soon := 2*time.Second + lateness(t)
	worst := map[bool]map[string]time.Duration{true: {}, false: {}}
	for _, events := range []bool{true, false} {
		for phase := range 6 {
			t.Run(fmt.Sprintf("events %t, %d s later", events, 10*phase), func(t *testing.T) {
				withRig(t, awssim.GroupSpec{Desired: 2}, func(r *rig) {
					if events {
						r.RouteLifecycleEvents("events")
					}
					r.putHook("up", "LAUNCHING", 300)
					r.putHook("down", "TERMINATING", 300)
					r.lead()
					bubble.Sleep(30 * time.Second)
					empty, bare := r.member(0), r.member(1)
					took := worst[events]
					r.join(empty, nil)
					name := r.join(bare, nil)
					took["launch"] = max(took["launch"], r.ended("Pending:Wait"))
					bubble.Sleep(5*time.Minute + time.Duration(phase)*10*time.Second)
					r.want("settled", "InService InService")

					r.terminate(empty.ID)
					took["node without pods"] = max(took["node without pods"], r.ended("Terminating:Wait"))
					bubble.Sleep(5 * time.Minute)
					r.deleteNode(name)
					bubble.Sleep(5*time.Minute + time.Duration(phase)*10*time.Second)
					r.terminate(bare.ID)
					took["no node"] = max(took["no node"], r.ended("Terminating:Wait"))
				})
			})
		}
	}
	t.Logf("longest waits: with events %v, without %v", worst[true], worst[false])
	for what, took := range worst[true] {
		if took > soon {
			t.Errorf("%s: %s with events", what, took)
		}
	}
	if took := worst[false]; took["launch"] > soon {
		t.Errorf("a launch takes %s without events: that the Node is Ready is seen by watching it", took["launch"])
	} else if took["node without pods"] < 20*time.Second+soon || took["no node"] < 20*time.Second+soon || took["no node"] > time.Minute+2*soon {
		t.Errorf("polling alone takes %v: the comparison says nothing", took)
	}
}

// TestEventOfAHookThatIsNew: while no group is known to have a hook of ours the
// loop rests for minutes, and an event ends even that.
func TestEventOfAHookThatIsNew(t *testing.T) {
	withRig(t, awssim.GroupSpec{}, func(r *rig) {
		r.RouteLifecycleEvents("events")
		for _, name := range []string{"up", "down"} {
			_, err := r.asg.DeleteLifecycleHook(r.T.Context(), &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: &name})
			r.OK(err)
		}
		r.lead()
		bubble.Sleep(11 * time.Minute)
		r.putHook("up", "LAUNCHING", 60)
		r.setDesired(1)
		bubble.Sleep(6 * time.Second)
		r.join(r.member(0), nil)
		if took := r.ended("Pending:Wait"); took > 2*time.Second+lateness(t) {
			t.Errorf("let go after %s", took)
		}
	})
}

// TestForgedEventsDecideNothing: whatever a message says, the loop goes by what
// Auto Scaling, EC2 and the API server say, and asks them no more often than
// once a second.
func TestForgedEventsDecideNothing(t *testing.T) {
	withRig(t, awssim.GroupSpec{Desired: 2}, func(r *rig) {
		r.RouteLifecycleEvents("events")
		r.lead()
		bubble.Sleep(10 * time.Second)
		serving, name := r.member(0), r.join(r.member(0), nil)
		r.member(1)
		bubble.Sleep(25 * time.Second)
		r.want("one serves and one joins", "InService Pending:Wait")
		r.addPod("cart", name, nil)
		url, admin := r.CreateQueue("events"), sqs.NewFromConfig(r.Config("operator"))
		r.ForgetCalls()
		began := time.Now()
		for n := 0; time.Since(began) < time.Minute; n++ {
			kind, transition, hook := "terminate", "TERMINATING", "down"
			if n%2 == 0 {
				kind, transition, hook = "launch", "LAUNCHING", "up"
			}
			_, err := admin.SendMessage(r.T.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(fmt.Sprintf(
				`{"source": "aws.autoscaling", "detail-type": "EC2 Instance-%s Lifecycle Action", "detail": {"AutoScalingGroupName": "g", "LifecycleHookName": %q, "EC2InstanceId": %q, "LifecycleTransition": "autoscaling:EC2_INSTANCE_%s"}}`,
				kind, hook, []string{serving.ID, r.member(1).ID, "i-0123456789abcdef0"}[n%3], transition))})
			r.OK(err)
			bubble.Sleep(100 * time.Millisecond)
		}
		r.want("after a minute of forged events", "InService Pending:Wait")
		if n := r.effective(); n != 0 {
			t.Errorf("%d hooks were completed", n)
		}
		if n := r.Node(name); n.Spec.Unschedulable || r.pods() != 1 {
			t.Errorf("a serving node was drained: %+v, %d pods", n.Spec, r.pods())
		}
		if n := len(r.CallsTo("autoscaling", "DescribeAutoScalingGroups")); n > 61 {
			t.Errorf("%d looks in a minute", n)
		}
	})
}

// TestLostQueueCostsNothing: with a queue that cannot be read everything is as it
// is without one.
func TestLostQueueCostsNothing(t *testing.T) {
	withRig(t, one, func(r *rig) {
		r.RouteLifecycleEvents("events")
		r.Inject(awssim.Fault{Service: "sqs", Principal: "controller", Code: awssim.Throttle})
		r.lead()
		in, name := r.inService()
		r.addPod("cart", name, nil)
		r.terminate(in.ID)
		if took := r.ended("Terminating:Wait"); took > 65*time.Second {
			t.Errorf("let go after %s", took)
		}
		if n := r.pods(); n != 0 {
			t.Errorf("%d pods left", n)
		}
	})
}

// TestNextLeaderHears: what the last leader took from the queue and did not get
// to is no loss, since the next one looks when it begins; and it hears of what
// comes then.
func TestNextLeaderHears(t *testing.T) {
	withRig(t, awssim.GroupSpec{Desired: 2}, func(r *rig) {
		r.RouteLifecycleEvents("events")
		stop := r.lead()
		bubble.Sleep(10 * time.Second)
		for i := range 2 {
			r.deleteNode(r.join(r.member(i), nil))
			r.join(r.member(i), nil)
		}
		bubble.Sleep(30 * time.Second)
		r.want("joined", "InService InService")
		first, second := r.member(0), r.member(1)
		// It takes the message and dies before it could delete it.
		r.Inject(awssim.Fault{Service: "sqs", Action: "DeleteMessage", Delay: time.Minute, Count: 1})
		lifted := r.Inject(awssim.Fault{Service: "autoscaling", Action: "CompleteLifecycleAction", Delay: time.Minute, Count: 1})
		r.terminate(first.ID)
		bubble.Sleep(1500 * time.Millisecond)
		stop()
		lifted()
		synctest.Wait()
		r.lead()
		if took := r.ended("Terminating:Wait"); took > 5*time.Second+lateness(t) {
			t.Errorf("let go by the next leader after %s", took)
		}
		bubble.Sleep(5 * time.Minute) // the message came back meanwhile, and was stale
		r.want("only that one ended", "InService")
		if n := r.metric("joinery_queue_messages_total", "terminate"); n != 1 {
			t.Errorf("the next leader received %v messages, expected the one that the last did not delete", n)
		}
		r.terminate(second.ID)
		if took := r.ended("Terminating:Wait"); took > 2*time.Second+lateness(t) {
			t.Errorf("let go after %s", took)
		}
		if n := r.effective(); n != 4 {
			t.Errorf("%d completions took effect, expected one for each wait", n)
		}
	})
}
