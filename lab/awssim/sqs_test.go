package awssim_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

func connectSQS(w *awssim.World, role string) *sqs.Client {
	cfg := w.Config(role)
	cfg.RetryMaxAttempts = 1
	return sqs.NewFromConfig(cfg)
}

func send(t *testing.T, c *sqs.Client, url, body string) {
	t.Helper()
	must(c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}))(t)
}

func receive(t *testing.T, c *sqs.Client, url string, wait int32) []types.Message {
	t.Helper()
	return must(c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: wait, MaxNumberOfMessages: 10,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount}}))(t).Messages
}

// bodies joins what was received.
func bodies(messages []types.Message) string {
	var out []string
	for _, m := range messages {
		out = append(out, *m.Body)
	}
	return strings.Join(out, " ")
}

func remove(t *testing.T, c *sqs.Client, url string, receipt *string) error {
	_, err := c.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: receipt})
	return err
}

func TestMessageStaysUntilItIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newWorld(t)
		defer w.Close()
		c := connectSQS(w, "controller")
		url := *must(c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"VisibilityTimeout": "40"}}))(t).QueueUrl
		if want := "https://sqs.us-west-2.amazonaws.com/123456789012/q"; url != want || *must(c.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")}))(t).QueueUrl != want {
			t.Errorf("queue URL %s", url)
		}
		send(t, c, url, "a")
		send(t, c, url, "b")
		first := receive(t, c, url, 0)
		if got := bodies(first); got != "a b" || first[0].Attributes["ApproximateReceiveCount"] != "1" {
			t.Fatalf("received %q %v", got, first[0].Attributes)
		}
		bubble.Sleep(39 * time.Second)
		if got := bodies(receive(t, c, url, 0)); got != "" {
			t.Errorf("received %q, which is hidden", got)
		}
		at := must(c.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}}))(t).Attributes
		if at["ApproximateNumberOfMessagesNotVisible"] != "2" || at["ApproximateNumberOfMessages"] != "0" || at["VisibilityTimeout"] != "40" || at["QueueArn"] != "arn:aws:sqs:us-west-2:123456789012:q" {
			t.Errorf("attributes %v", at)
		}
		bubble.Sleep(time.Second)
		again := receive(t, c, url, 0)
		if got := bodies(again); got != "a b" || again[0].Attributes["ApproximateReceiveCount"] != "2" {
			t.Fatalf("received %q %v", got, again)
		}
		wantCode(t, remove(t, c, url, first[0].ReceiptHandle), "") // an old receipt deletes nothing
		wantCode(t, remove(t, c, url, again[1].ReceiptHandle), "")
		wantCode(t, remove(t, c, url, again[1].ReceiptHandle), "")
		wantCode(t, remove(t, c, url, aws.String("nonsense")), "ReceiptHandleIsInvalid")
		bubble.Sleep(time.Minute)
		if got := bodies(receive(t, c, url, 0)); got != "a" {
			t.Errorf("left are %q", got)
		}
		bubble.Sleep(4 * 24 * time.Hour)
		if got := bodies(receive(t, c, url, 0)); got != "" {
			t.Errorf("%q outlived the retention period", got)
		}
	})
}

func TestLongPollWaitsForAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newWorld(t)
		defer w.Close()
		c := connectSQS(w, "controller")
		url := w.CreateQueue("q")
		began := time.Now()
		if got := receive(t, c, url, 20); len(got) != 0 || time.Since(began) != 20*time.Second {
			t.Errorf("%d messages after %s", len(got), time.Since(began))
		}
		time.AfterFunc(7*time.Second, func() { send(t, c, url, "late") })
		began = time.Now()
		if got := bodies(receive(t, c, url, 20)); got != "late" || time.Since(began) != 7*time.Second {
			t.Errorf("%q after %s", got, time.Since(began))
		}
		began = time.Now() // a message that becomes visible again ends a poll, too
		if got := append(receive(t, c, url, 20), receive(t, c, url, 20)...); bodies(got) != "late" || time.Since(began) != 30*time.Second {
			t.Errorf("%q after %s", bodies(got), time.Since(began))
		}
		time.AfterFunc(time.Second, w.Close)
		if began = time.Now(); len(receive(t, c, url, 20)) != 0 || time.Since(began) != time.Second {
			t.Errorf("a closed world answers after %s", time.Since(began))
		}
	})
}

// TestLongPollHoldsNothingUp: others are served meanwhile, and a client that
// leaves takes no message with it.
func TestLongPollHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, clients := newWorld(t)
		defer w.Close()
		c := connectSQS(w, "controller")
		url := w.CreateQueue("q")
		cfg := w.Config("controller")
		cfg.RetryMaxAttempts = 1
		left := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := sqs.NewFromConfig(cfg).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
			left <- err
		}()
		synctest.Wait()
		must(clients.asg.DescribeAutoScalingGroups(t.Context(), nil))(t)
		if err := <-left; err == nil {
			t.Error("the client that left got an answer")
		}
		send(t, c, url, "a")
		if got := bodies(receive(t, c, url, 0)); got != "a" {
			t.Errorf("received %q", got)
		}
	})
}

func TestQueueErrors(t *testing.T) {
	w, _ := newWorld(t)
	c := connectSQS(w, "controller")
	url := w.CreateQueue("q")
	ask := func(url string, change func(*sqs.ReceiveMessageInput)) error {
		in := &sqs.ReceiveMessageInput{QueueUrl: &url}
		if change != nil {
			change(in)
		}
		_, err := c.ReceiveMessage(t.Context(), in)
		return err
	}
	wantCode(t, ask(url, nil), "")
	missing := ask(url+"2", nil)
	wantCode(t, missing, "AWS.SimpleQueueService.NonExistentQueue")
	if typed := new(types.QueueDoesNotExist); !errors.As(missing, &typed) {
		t.Errorf("the SDK does not know the error: %T", missing)
	}
	wantCode(t, ask("https://sqs.us-west-2.amazonaws.com/210987654321/q", nil), "AWS.SimpleQueueService.NonExistentQueue")
	wantCode(t, ask("q", nil), "InvalidAddress")
	wantCode(t, ask(url, func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = 21 }), "InvalidParameterValue")
	wantCode(t, ask(url, func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 11 }), "InvalidParameterValue")
	wantCode(t, ask(url, func(in *sqs.ReceiveMessageInput) { in.MessageAttributeNames = []string{"x"} }), "UnsupportedOperation")
	create := func(name, attribute, value string) error {
		_, err := c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{attribute: value}})
		return err
	}
	wantCode(t, create("q", "VisibilityTimeout", "30"), "")
	wantCode(t, create("q", "VisibilityTimeout", "31"), "QueueAlreadyExists")
	wantCode(t, create("p", "VisibilityTimeout", "lots"), "InvalidAttributeValue")
	wantCode(t, create("p", "Policy", "{}"), "UnsupportedOperation")
	wantCode(t, create("p.fifo", "VisibilityTimeout", "30"), "InvalidParameterValue")
	post := func(body string) error {
		_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
		return err
	}
	wantCode(t, post(strings.Repeat("x", 900<<10)), "")
	wantCode(t, post("a\x00b"), "InvalidMessageContents")
	w.Inject(awssim.Fault{Service: "sqs", Code: awssim.Throttle, Count: 1})
	wantCode(t, ask(url, nil), "RequestThrottled")
	w.DeleteQueue("q")
	wantCode(t, ask(url, nil), "AWS.SimpleQueueService.NonExistentQueue")
	stranger := w.Config("controller")
	stranger.Credentials, stranger.RetryMaxAttempts = aws.AnonymousCredentials{}, 1
	_, err := sqs.NewFromConfig(stranger).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
	wantCode(t, err, "MissingAuthenticationToken")
}

func TestQueuePermissions(t *testing.T) {
	w, _ := newWorld(t)
	attach(t, w, "reader", `{"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": "arn:aws:sqs:us-west-2:123456789012:q"}`)
	c := connectSQS(w, "reader")
	url, other := w.CreateQueue("q"), w.CreateQueue("q2")
	if got := receive(t, c, url, 0); len(got) != 0 {
		t.Errorf("%d messages", len(got))
	}
	for _, url := range []string{other, strings.Replace(url, w.AccountID, "210987654321", 1)} {
		_, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
		wantCode(t, err, "AccessDenied")
	}
	_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
	wantCode(t, err, "AccessDenied")
	_, err = c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
	wantCode(t, err, "AccessDenied")
}

// TestLifecycleEvents: each beginning of a wait is an event, with its way.
func TestLifecycleEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Timing: awssim.Timing{Boot: 5 * time.Second}}
		defer w.Close()
		c, q := connect(w, "controller"), connectSQS(w, "controller")
		template(w)
		if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 2, WarmPool: &awssim.WarmPool{MaxPrepared: 1, ReuseOnScaleIn: true}}); err != nil {
			t.Fatal(err)
		}
		wantCode(t, putHook(t, c, "up", "LAUNCHING", 600, "ABANDON"), "")
		wantCode(t, putHook(t, c, "down", "TERMINATING", 600, "CONTINUE"), "")
		w.RouteLifecycleEvents("missing") // what is sent there is lost
		url := w.CreateQueue("q")
		next := func(hook string) (got struct {
			Source     string
			DetailType string `json:"detail-type"`
			Region     string
			Detail     map[string]string
		}) {
			t.Helper()
			w.RouteLifecycleEvents("q")
			messages := receive(t, q, url, 20)
			if len(messages) != 1 {
				t.Fatalf("%d events", len(messages))
			}
			if err := json.Unmarshal([]byte(*messages[0].Body), &got); err != nil {
				t.Fatal(err)
			}
			wantCode(t, remove(t, q, url, messages[0].ReceiptHandle), "")
			if d := got.Detail; got.Source != "aws.autoscaling" || got.Region != "us-west-2" || d["AutoScalingGroupName"] != "g" || d["LifecycleHookName"] != hook || d["EC2InstanceId"] != w.Instances()[0].ID {
				t.Errorf("event %+v", got)
			}
			// The token is that of the action.
			_, err := c.asg.CompleteLifecycleAction(t.Context(), completion(hook, got.Detail["LifecycleActionToken"]))
			wantCode(t, err, "")
			return got
		}
		e := next("up")
		if e.DetailType != "EC2 Instance-launch Lifecycle Action" || e.Detail["LifecycleTransition"] != "autoscaling:EC2_INSTANCE_LAUNCHING" || way(e.Detail) != "EC2 WarmPool" {
			t.Errorf("into the pool: %+v", e)
		}
		bubble.Sleep(time.Minute)
		wantCode(t, setDesired(t, c, 1), "")
		if e = next("up"); way(e.Detail) != "WarmPool AutoScalingGroup" {
			t.Errorf("out of the pool: %+v", e)
		}
		bubble.Sleep(time.Minute)
		wantCode(t, setDesired(t, c, 0), "")
		if e = next("down"); e.DetailType != "EC2 Instance-terminate Lifecycle Action" || e.Detail["LifecycleTransition"] != "autoscaling:EC2_INSTANCE_TERMINATING" || way(e.Detail) != "AutoScalingGroup WarmPool" {
			t.Errorf("back into the pool: %+v", e)
		}
		bubble.Sleep(time.Minute)
		must(c.asg.DeleteWarmPool(t.Context(), &autoscaling.DeleteWarmPoolInput{AutoScalingGroupName: aws.String("g")}))(t)
		if e = next("down"); way(e.Detail) != "WarmPool EC2" {
			t.Errorf("out of the world: %+v", e)
		}
	})
}

func way(detail map[string]string) string { return detail["Origin"] + " " + detail["Destination"] }

func completion(hook, token string) *autoscaling.CompleteLifecycleActionInput {
	return &autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: &hook, LifecycleActionToken: &token, LifecycleActionResult: aws.String("CONTINUE")}
}
