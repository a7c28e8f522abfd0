package queue_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/controlplane/hooks/queue"
	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// rig is a queue "q" in a simulated AWS, and a listener to it with no more
// permissions than deploy/iam gives. It lives in a synctest bubble.
type rig struct {
	*awssim.World
	t     *testing.T
	admin *sqs.Client
	url   string
	reg   *prometheus.Registry
	stop  func()

	mu     sync.Mutex
	woken  []time.Time
	warned []string
	log    bytes.Buffer
}

func withRig(t *testing.T, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{World: &awssim.World{}, t: t}
		defer r.Close()
		r.admin = sqs.NewFromConfig(r.Config("operator"))
		r.url = r.CreateQueue("q")
		policy, err := iam.Queue(iam.Values{Partition: r.Partition(), Region: r.Region, Account: r.AccountID, Cluster: "demo", KMSKeyARN: "arn:aws:kms:us-west-2:123456789012:key/k"}, "q")
		r.ok(err)
		r.ok(r.AttachPolicy("controller", policy))
		r.start()
		defer func() { r.stop() }()
		test(r)
	})
}

func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// start runs a listener until the test ends or stop is called.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	r.reg = prometheus.NewRegistry()
	l := queue.NewListener(queue.Deps{
		SQS: sqs.NewFromConfig(r.Config("controller")), URL: r.url, LaunchHook: "joinery-launch", TerminateHook: "joinery-terminate",
		Wake: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.woken = append(r.woken, time.Now())
		},
		Warn: func(reason string, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.warned = append(r.warned, reason+" "+err.Error())
		},
		Registry: r.reg, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
	})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	r.stop = func() { cancel(); <-done }
}

func (r *rig) send(bodies ...string) {
	r.t.Helper()
	for _, b := range bodies {
		_, err := r.admin.SendMessage(r.t.Context(), &sqs.SendMessageInput{QueueUrl: &r.url, MessageBody: &b})
		r.ok(err)
	}
}

func (r *rig) wakes() int {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.woken)
}

// left is how many messages are in the queue, hidden or not.
func (r *rig) left() string {
	r.t.Helper()
	synctest.Wait()
	out, err := r.admin.GetQueueAttributes(r.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &r.url, AttributeNames: []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible}})
	r.ok(err)
	return out.Attributes["ApproximateNumberOfMessages"] + "+" + out.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

func (r *rig) counted(kind queue.Kind) (n float64) {
	r.t.Helper()
	families, err := r.reg.Gather()
	r.ok(err)
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "joinery_queue_messages_total" && m.Label[0].GetValue() == string(kind) {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func TestEventWakesAtOnceAndIsDeleted(t *testing.T) {
	withRig(t, func(r *rig) {
		bubble.Sleep(time.Hour)
		if n := r.wakes(); n != 0 {
			t.Errorf("woken %d times by nothing", n)
		}
		if n := len(r.CallsTo("sqs", "ReceiveMessage")); n > 180 {
			t.Errorf("%d polls in an hour", n)
		}
		sent := time.Now()
		r.send(terminateEvent)
		if n := r.wakes(); n != 1 || !r.woken[0].Equal(sent) {
			t.Errorf("woken %d times", n)
		}
		if got := r.left(); got != "0+0" {
			t.Errorf("%s messages left", got)
		}
		r.send(launchEvent, launchEvent) // there twice: SQS and EventBridge deliver at least once
		if n := r.wakes(); n < 2 || n > 3 {
			t.Errorf("woken %d times", n)
		}
		if r.counted(queue.Terminate) != 1 || r.counted(queue.Launch) != 2 || r.counted(queue.Unknown) != 0 {
			t.Error("counted wrongly")
		}
	})
}

func TestWhatIsNoEventOfOursIsDroppedAndWakesNobody(t *testing.T) {
	withRig(t, func(r *rig) {
		r.send("garbage-canary", changed("aws.autoscaling", "aws.ec2"), strings.Repeat("[", 900<<10), testNotification,
			changed("joinery-terminate", "joinery-launch"), strings.Replace(launchEvent, "joinery-launch", "others", 1))
		bubble.Sleep(time.Minute)
		if n := r.wakes(); n != 0 {
			t.Errorf("woken %d times", n)
		}
		if got := r.left(); got != "0+0" {
			t.Errorf("%s messages left: they come back for ever", got)
		}
		for kind, want := range map[queue.Kind]float64{queue.Unknown: 3, queue.Test: 1, queue.Foreign: 2, queue.Launch: 0, queue.Terminate: 0} {
			if got := r.counted(kind); got != want {
				t.Errorf("%v messages of kind %s: expected %v", got, kind, want)
			}
		}
		r.stop()
		if said := r.log.String(); !strings.Contains(said, "level=WARN") || strings.Contains(said, "canary") {
			t.Errorf("log:\n%s", said)
		}
		if len(r.warned) != 0 {
			t.Errorf("operators are warned: %q", r.warned)
		}
	})
}

// TestBacklog: what piled up while no controller ran is one reason to look, or a
// few, and is gone soon.
func TestBacklog(t *testing.T) {
	withRig(t, func(r *rig) {
		r.stop()
		for range 95 {
			r.send(terminateEvent)
		}
		r.start()
		bubble.Sleep(time.Second)
		if n := r.wakes(); n == 0 || n > 10 {
			t.Errorf("woken %d times", n)
		}
		if got := r.left(); got != "0+0" {
			t.Errorf("%s messages left", got)
		}
	})
}

func TestQueueThatCannotBeRead(t *testing.T) {
	for name, breakIt := range map[string]func(r *rig) (mend func()){
		"throttled": func(r *rig) func() {
			return r.Inject(awssim.Fault{Service: "sqs", Principal: "controller", Code: awssim.Throttle})
		},
		"denied": func(r *rig) func() {
			return r.Inject(awssim.Fault{Service: "sqs", Principal: "controller", Code: "AccessDeniedException", Status: 403})
		},
		"no answer": func(r *rig) func() {
			return r.Inject(awssim.Fault{Service: "sqs", Principal: "controller", LoseAnswer: true})
		},
		"hanging": func(r *rig) func() {
			return r.Inject(awssim.Fault{Service: "sqs", Principal: "controller", Delay: time.Hour})
		},
		"deletion denied": func(r *rig) func() {
			return r.Inject(awssim.Fault{Service: "sqs", Action: "DeleteMessage", Code: "AccessDeniedException", Status: 403})
		},
		"missing": func(r *rig) func() {
			r.DeleteQueue("q")
			return func() { r.CreateQueue("q") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			withRig(t, func(r *rig) {
				mend := breakIt(r)
				if name != "missing" {
					r.send(terminateEvent)
				}
				bubble.Sleep(30 * time.Minute)
				reason := "LifecycleQueueNotRead "
				if name == "deletion denied" {
					reason = "LifecycleQueueNotEmptied "
				}
				if len(r.warned) != 1 || !strings.HasPrefix(r.warned[0], reason) {
					t.Errorf("operators are warned %d times: %q", len(r.warned), r.warned)
				}
				if n := len(r.CallsTo("sqs", "ReceiveMessage")); n > 160 {
					t.Errorf("%d calls in half an hour", n)
				}
				mend()
				bubble.Sleep(2 * time.Minute)
				before := r.wakes()
				r.send(terminateEvent)
				bubble.Sleep(time.Second)
				if n := r.wakes(); n != before+1 {
					t.Errorf("mended, and woken %d times more", n-before)
				}
				if got := r.left(); got != "0+0" {
					t.Errorf("%s messages left", got)
				}
			})
		})
	}
}

// TestBlipIsNotReported: one failure is no reason to bother anybody.
func TestBlipIsNotReported(t *testing.T) {
	withRig(t, func(r *rig) {
		r.Inject(awssim.Fault{Service: "sqs", Code: "InternalFailure", Status: 500, Count: 5})
		bubble.Sleep(10 * time.Minute)
		if len(r.warned) != 0 {
			t.Errorf("operators are warned: %q", r.warned)
		}
		sent := time.Now()
		r.send(launchEvent)
		if n := r.wakes(); n != 1 || !r.woken[0].Equal(sent) {
			t.Errorf("woken %d times", n)
		}
	})
}

// TestSQSThatDoesNotWait: an answer that comes at once and is empty is no reason
// to ask a thousand times a second.
func TestSQSThatDoesNotWait(t *testing.T) {
	withRig(t, func(r *rig) {
		r.Close() // a closed world waits for nothing
		r.ForgetCalls()
		bubble.Sleep(time.Minute)
		if n := len(r.CallsTo("sqs", "ReceiveMessage")); n < 55 || n > 61 {
			t.Errorf("asked %d times in a minute", n)
		}
	})
}
