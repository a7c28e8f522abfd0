package iam_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/joinery/joinery/deploy/iam"
)

// The extra policy for lifecycle events lets the controller empty its one queue,
// and neither fill it nor touch another.
func TestQueuePolicyReachesOneQueue(t *testing.T) {
	for _, region := range partitions {
		t.Run(region, func(t *testing.T) {
			a := newAccount(t, region)
			ours, theirs := a.world.CreateQueue("joinery-demo"), a.world.CreateQueue("joinery-demo2")
			receive := func(c *sqs.Client, url string) (*sqs.ReceiveMessageOutput, error) {
				return c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
			}
			c, administrator := sqs.NewFromConfig(a.master), sqs.NewFromConfig(a.administrator)
			if _, err := receive(c, ours); !denied(err) {
				t.Errorf("without the extra policy: %v", err)
			}
			v := values
			v.Partition, v.Region = a.world.Partition(), region
			text, err := iam.Queue(v, "joinery-demo")
			if err != nil {
				t.Fatal(err)
			}
			if err := a.world.AttachPolicy("controller", text); err != nil {
				t.Fatal(err)
			}
			for _, url := range []string{ours, theirs} {
				if _, err := administrator.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")}); err != nil {
					t.Fatal(err)
				}
			}
			got, err := receive(c, ours)
			if err != nil || len(got.Messages) != 1 {
				t.Fatalf("received %v, %v", got, err)
			}
			other, err := receive(administrator, theirs)
			if err != nil || len(other.Messages) != 1 {
				t.Fatalf("received %v, %v", other, err)
			}
			remove := func(url string, receipt *string) error {
				return just(c.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: receipt}))
			}
			a.check(t, []attempt{
				{"deleting its message", func() error { return remove(ours, got.Messages[0].ReceiptHandle) }, true},
				{"reading the other queue", func() error { return just(receive(c, theirs)) }, false},
				{"deleting another's message", func() error { return remove(theirs, other.Messages[0].ReceiptHandle) }, false},
				{"sending to its queue", func() error {
					return just(c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &ours, MessageBody: aws.String("x")}))
				}, false},
				{"making a queue", func() error {
					return just(c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("joinery-demo")}))
				}, false},
			})
			if unused := a.world.UnusedPermissions("controller"); slices.ContainsFunc(unused, func(p string) bool { return strings.Contains(p, "sqs:") }) {
				t.Errorf("allowed and used by nothing here: %q", unused)
			}
		})
	}
	for _, name := range []string{"", "*", "joinery-demo*", "${QUEUE}"} {
		if text, err := iam.Queue(values, name); err == nil {
			t.Errorf("queue %q: rendered %s", name, text)
		}
	}
}
