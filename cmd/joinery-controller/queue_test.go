package main

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/hooks/queue"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/lab/awssim"
)

const someQueue = "https://sqs.us-west-2.amazonaws.com/123456789012/joinery-demo"

func withLifecycle(t *testing.T, lifecycle string) v1alpha1.ControllerSpec {
	t.Helper()
	c, err := v1alpha1.DecodeControllerConfig([]byte(`{apiVersion: joinery.dev/v1alpha1, kind: ControllerConfig, spec: {cluster: demo, approver: {stsProof: off}, lifecycle: {` + lifecycle + `}}}`))
	if err != nil {
		t.Fatal(err)
	}
	return c.Spec
}

func TestQueueIsReadWhereThereIsOne(t *testing.T) {
	for lifecycle, want := range map[string]bool{
		``:                                       false,
		`queueURL: "` + someQueue + `"`:          true,
		`disabled: true, queueURL: ` + someQueue: false,
	} {
		p, err := assemble(withLifecycle(t, lifecycle), aws.Config{Region: "us-west-2"}, fake.NewClientset(), record.NewFakeRecorder(1), prometheus.NewRegistry(), slog.New(slog.DiscardHandler), &progress.Board{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(p.services, func(s leader.Service) bool { return s.Name == "queue" }); got != want {
			t.Errorf("%q: read %t", lifecycle, got)
		}
	}
}

// The bound that all other requests share would cut every long poll short.
func TestLongPollMayTakeItsTime(t *testing.T) {
	shared := awshttp.NewBuildableClient().WithTimeout(answerTimeout)
	c := aws.Config{Region: "us-west-2", HTTPClient: shared}
	client, ok := sqs.NewFromConfig(c, patient).Options().HTTPClient.(*awshttp.BuildableClient)
	if !ok || client.GetTimeout() < queue.LongPoll+5*time.Second || client.GetTimeout() > time.Minute {
		t.Errorf("a long poll may take %s", client.GetTimeout())
	}
	if got := shared.GetTimeout(); got != answerTimeout {
		t.Errorf("every other request may now take %s", got)
	}
}

// TestEventArrivesOverAConnection: as in production, with an HTTP client and a
// URL that names the queue but not the endpoint.
func TestEventArrivesOverAConnection(t *testing.T) {
	world := &awssim.World{}
	t.Cleanup(world.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = world.Serve(ctx, listener) }()
	world.CreateQueue("joinery-demo")
	world.RouteLifecycleEvents("joinery-demo")

	c := world.Config("controller")
	c.BaseEndpoint = aws.String("http://" + listener.Addr().String())
	c.HTTPClient = awshttp.NewBuildableClient().WithTimeout(answerTimeout)
	told := make(chan struct{}, 1)
	a := assembly{
		spec: withLifecycle(t, `queueURL: "`+someQueue+`"`), aws: c, reg: prometheus.NewRegistry(), events: record.NewFakeRecorder(10), log: slog.New(slog.DiscardHandler),
	}
	ended := make(chan []string, 10)
	services := a.queue(func() { told <- struct{}{} }, func(ids ...string) { ended <- ids })
	stopped := make(chan error, 1)
	go func() { stopped <- services[0].Run(ctx) }()
	admin := sqs.NewFromConfig(world.Config("operator"))
	_, err = admin.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(someQueue), MessageBody: aws.String(
		`{"source": "aws.autoscaling", "detail-type": "EC2 Instance-launch Lifecycle Action", "detail": {"AutoScalingGroupName": "g", "LifecycleHookName": "joinery-launch", "EC2InstanceId": "i-0123456789abcdef0", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-told:
	case <-ctx.Done():
		t.Fatal("nobody was told")
	}
	// EC2's own event, as the simulated one sends it.
	world.RouteStateChanges("joinery-demo")
	in, err := world.AddInstance(awssim.InstanceSpec{})
	if err != nil {
		t.Fatal(err)
	}
	world.Terminate(in.ID)
	select {
	case ids := <-ended:
		if !slices.Contains(ids, in.ID) {
			t.Errorf("told that %q end, want %s", ids, in.ID)
		}
	case <-ctx.Done():
		t.Fatal("no word of an instance that ends")
	}
	cancel()
	if err := <-stopped; err == nil {
		t.Error("the listener ended by itself")
	}
}
