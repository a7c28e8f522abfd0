// Package drive runs what the controller does again and again: Rounds one round that
// observes, decides and applies, then a rest; Keys the work on keys that events name.
// Time-out, back-off, recovery from panics, wake-up, progress and metrics are the same
// for every service, and are here alone.
package drive

import (
	"context"
	"log/slog"
	"time"
)

// Round does one round of work.
//   - rest is how long the service may rest after it, see Rounds.Every; 0 for as
//     long as that allows, AtOnce for not at all.
//   - An error is logged and counted, and the round is tried again after a pause
//     that grows. What a failed round achieved stays; rest can only shorten the pause.
type Round func(ctx context.Context) (rest time.Duration, err error)

// AtOnce is the rest after a round that found more to do.
const AtOnce time.Duration = -1

// Rounds is a service that works in rounds. It runs until its context ends; no error
// or panic of a round ends it.
type Rounds struct {
	// Name of the service, for logs and metrics.
	Name string
	// Round is the work.
	Round Round
	// Every is the longest rest between two rounds.
	Every time.Duration
	// Least is the shortest time from the end of a round to the next, however often
	// it is woken; 0 for none.
	Least time.Duration
	// Timeout bounds one round, so that no connection that hangs stops the service;
	// 0 for no bound, for a round that bounds its own calls.
	Timeout time.Duration
	// Retry bounds the pause after a failure; the zero value means 1 s to 30 s.
	Retry Backoff
	// Wake starts a round before its time; nil when nothing can.
	Wake *Wake
	// Due, if set, says when the round begins for which the service was woken, instead
	// of Least. It is asked after each call of Wake.Now, and may return a time that is
	// past. began is when the rest began, end when it ends without a call.
	Due func(began, end time.Time) time.Time
	// Meter gets the outcome of each round; nil for none.
	Meter *Meter
	// Done, if set, is called after each round that succeeded.
	Done func()
	// Failed, if set, is called after each round that failed.
	Failed func(error)
	// Log gets one line for each failure.
	Log *slog.Logger
}

// Run works until ctx ends and returns its error.
func (r Rounds) Run(ctx context.Context) error {
	retry, failures := r.Retry.orDefault(), 0
	for {
		rest, err := r.one(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case err != nil:
			wait := retry.Pause(failures)
			if rest > 0 {
				wait = min(wait, rest)
			}
			r.Log.Error("round failed", "service", r.Name, "error", err, "again", wait)
			rest = wait
			failures++
		case rest == AtOnce:
			rest, failures = 0, 0
		case rest <= 0 || rest > r.Every:
			rest, failures = r.Every, 0
		default:
			failures = 0
		}
		if err := r.sleep(ctx, rest); err != nil {
			return err
		}
	}
}

// one runs a round and accounts for it.
func (r Rounds) one(ctx context.Context) (rest time.Duration, err error) {
	within, cancel := bounded(ctx, r.Timeout)
	defer cancel()
	began := time.Now()
	err = safely(func() (err error) {
		rest, err = r.Round(within)
		return err
	})
	if ctx.Err() != nil {
		return rest, err // who steps down has not failed
	}
	r.Meter.round(r.Name, time.Since(began), err)
	switch {
	case err != nil && r.Failed != nil:
		r.Failed(err)
	case err == nil && r.Done != nil:
		r.Done()
	}
	return rest, err
}

// sleep rests, until the round is due for which it is woken.
func (r Rounds) sleep(ctx context.Context, rest time.Duration) error {
	began := time.Now()
	end := began.Add(rest)
	for due := end; ; {
		woken, err := wait(ctx, time.Until(due), r.Wake.c())
		if err != nil || !woken {
			return err
		}
		due = r.due(began, end)
	}
}

// due is when a round begins for which the service was woken.
func (r Rounds) due(began, end time.Time) time.Time {
	if r.Due != nil {
		return r.Due(began, end)
	}
	if least := began.Add(r.Least); least.Before(end) {
		return least
	}
	return end
}
