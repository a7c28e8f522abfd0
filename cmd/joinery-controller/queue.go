package main

import (
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/joinery/joinery/controlplane/hooks/queue"
	"github.com/joinery/joinery/controlplane/leader"
)

// queue returns the service that is notified of lifecycle actions as they begin, and of
// instances that end; none without a queue. told and ended are called when there are any.
func (a assembly) queue(told func(), ended func(instances ...string)) []leader.Service {
	l := a.spec.Lifecycle
	if l.QueueURL == "" {
		return nil
	}
	listener := queue.NewListener(queue.Deps{
		SQS: sqs.NewFromConfig(a.aws, patient), URL: l.QueueURL, LaunchHook: l.LaunchHook, TerminateHook: l.TerminateHook,
		Wake: told, Ended: ended, Warn: a.warn, Registry: a.reg, Meter: a.meter, Log: a.log,
	})
	return []leader.Service{{Name: "queue", Run: listener.Run}}
}

// patient has one client wait for the answer to a long poll, which comes later
// than any other answer may.
func patient(o *sqs.Options) {
	if b, ok := o.HTTPClient.(*awshttp.BuildableClient); ok {
		o.HTTPClient = b.WithTimeout(queue.LongPoll + answerTimeout)
	}
}
