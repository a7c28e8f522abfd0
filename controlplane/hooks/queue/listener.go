// Package queue is notified of lifecycle actions, and of instances that end, by an SQS
// queue to which EventBridge sends events of Auto Scaling and EC2. A message is a hint and
// nothing more: it makes a service look, which goes by what it sees itself. So a
// message that is forged, late, lost or there twice changes no decision, and
// without the queue everything happens just as well, only later.
package queue

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/internal/drive"
)

// api is the part of the SQS client that Listener uses.
type api interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
}

// Deps are what a Listener works with.
type Deps struct {
	// SQS reads the queue. Its HTTP client must wait for longer than LongPoll.
	SQS api
	// URL of the queue.
	URL string
	// LaunchHook and TerminateHook are the names of the hooks that are ours.
	LaunchHook, TerminateHook string
	// Wake is called when one of them began to hold an instance. It must not block.
	Wake func()
	// Ended is called with instances that EC2 is said to end or stop. It must not block.
	Ended func(instances ...string)
	// Warn tells operators that the queue has not been read, or not been emptied,
	// for a while.
	Warn func(reason string, err error)
	// Registry gets the metrics.
	Registry prometheus.Registerer
	// Meter counts the polls; nil for none.
	Meter *drive.Meter
	// Log gets what is dropped and what fails.
	Log *slog.Logger
}

// LongPoll is how long SQS waits for a message before it answers that there is
// none: the most that it does.
const LongPoll = 20 * time.Second

const (
	// batch is the most that SQS hands out at a time.
	batch = 10
	// oneAnswer bounds a call beyond the time that SQS may wait. timeout is for a poll
	// and for the deletions that follow from it.
	oneAnswer = 10 * time.Second
	timeout   = LongPoll + 2*oneAnswer
	// leastPause is the shortest pause between two polls that got nothing done,
	// should SQS not wait for a message, and the first after a failure.
	leastPause = time.Second
	// mostPause is the longest pause after failures.
	mostPause = time.Minute
	// mostUnread is how many polls may fail in a row before operators are warned: the
	// pause is at its longest by then.
	mostUnread = 6
	// mostFailures is how many deletions may fail in a row before operators are
	// warned: what is not deleted comes back again and again.
	mostFailures = 5
)

// Listener reads the queue.
type Listener struct {
	deps     Deps
	messages *prometheus.CounterVec
	failures int // deletions that failed since one last succeeded
	unread   int // polls that failed since one last succeeded
}

// NewListener returns a listener; it registers its metrics.
func NewListener(d Deps) *Listener {
	d.Log = d.Log.With("part", "queue")
	l := &Listener{deps: d, messages: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "joinery_queue_messages_total",
		Help: "Messages received from the queue of lifecycle events by kind: launch, terminate, ended (an instance), foreign (another's hook, an instance's other state), test, unknown.",
	}, []string{"kind"})}
	d.Registry.MustRegister(l.messages)
	for _, k := range []Kind{Launch, Terminate, Ended, Foreign, Test, Unknown} {
		l.messages.WithLabelValues(string(k))
	}
	return l
}

// Run reads the queue until ctx ends. After failures it tries again, with
// growing pauses; operators are warned once they are at their longest.
func (l *Listener) Run(ctx context.Context) error {
	return drive.Rounds{
		Name: "queue", Round: l.round, Every: leastPause, Timeout: timeout, Retry: drive.Backoff{First: leastPause, Last: mostPause},
		Meter: l.deps.Meter, Done: func() { l.unread = 0 }, Failed: l.notRead, Log: l.deps.Log,
	}.Run(ctx)
}

// round polls once. It rests only when it got nothing done and did not wait for that.
func (l *Listener) round(ctx context.Context) (rest time.Duration, err error) {
	began := time.Now()
	done, err := l.hear(ctx)
	if err == nil && (done > 0 || time.Since(began) >= leastPause) {
		return drive.AtOnce, nil
	}
	return 0, err
}

// notRead counts a poll that failed.
func (l *Listener) notRead(err error) {
	if l.unread++; l.unread == mostUnread {
		l.deps.Warn("LifecycleQueueNotRead", err)
	}
}

// hear waits for messages and hands on what they say. It returns how many are
// done with.
func (l *Listener) hear(ctx context.Context) (int, error) {
	received, err := l.receive(ctx)
	if err != nil {
		return 0, fmt.Errorf("receive lifecycle events: %w", err)
	}
	wake, dropped, ended := false, []any(nil), []string(nil)
	for _, m := range received {
		e, reason := Parse(aws.ToString(m.Body))
		e = l.ours(e)
		l.messages.WithLabelValues(string(e.Kind)).Inc()
		switch e.Kind {
		case Launch, Terminate:
			wake = true
			l.deps.Log.Debug("lifecycle event", "kind", e.Kind, "group", e.Group, "hook", e.Hook, "instance", e.Instance)
		case Ended:
			ended = append(ended, e.Instance)
		case Unknown:
			dropped = []any{"id", aws.ToString(m.MessageId), "reason", reason}
		}
	}
	if wake {
		l.deps.Wake()
	}
	if len(ended) > 0 {
		l.deps.Ended(ended...)
	}
	if dropped != nil {
		l.deps.Log.Warn("the queue of lifecycle events holds something else, which is dropped", dropped...)
	}
	return l.remove(ctx, received), nil
}

func (l *Listener) receive(ctx context.Context) ([]types.Message, error) {
	out, err := l.deps.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &l.deps.URL, MaxNumberOfMessages: batch, WaitTimeSeconds: int32(LongPoll / time.Second),
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// ours tells events of our hooks from those of others.
func (l *Listener) ours(e Event) Event {
	if e.Kind == Launch && e.Hook != l.deps.LaunchHook || e.Kind == Terminate && e.Hook != l.deps.TerminateHook {
		e.Kind = Foreign
	}
	return e
}

// remove deletes messages that were handed on, and those that nobody can read:
// they would come back for ever. One that could not be deleted comes back, too,
// and does no more harm than the first time. It returns how many are gone.
func (l *Listener) remove(ctx context.Context, all []types.Message) (gone int) {
	inTime, cancel := context.WithTimeout(ctx, oneAnswer)
	defer cancel()
	var failed error
	for _, m := range all {
		_, err := l.deps.SQS.DeleteMessage(inTime, &sqs.DeleteMessageInput{QueueUrl: &l.deps.URL, ReceiptHandle: m.ReceiptHandle})
		if err == nil {
			gone++
			l.failures = 0
			continue
		}
		if ctx.Err() != nil {
			return gone // another leader gets them
		}
		failed = fmt.Errorf("delete message %s: %w", aws.ToString(m.MessageId), err)
		if l.failures++; l.failures == mostFailures {
			l.deps.Warn("LifecycleQueueNotEmptied", failed)
		}
	}
	if failed != nil {
		l.deps.Log.Warn("the queue of lifecycle events is not emptied", "left", len(all)-gone, "error", failed)
	}
	return gone
}
