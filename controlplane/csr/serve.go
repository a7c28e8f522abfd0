package csr

import (
	"context"
	"fmt"
	"time"

	"github.com/joinery/joinery/internal/quote"
)

// process handles one item. again has it handled once more, after a pause that grows.
func (a *Approver) process(ctx context.Context, one []item) (again []item, err error) {
	it := one[0]
	if it.joined == "" {
		return nil, a.serve(ctx, it)
	}
	later, err := a.admitNode(ctx, it.joined)
	if err != nil {
		err = fmt.Errorf("admit node %s that is Ready: %w", quote.Name(it.joined), err)
	}
	if later || err != nil {
		again = one
	}
	return again, err
}

// serve judges one request of a lane and gets in line again for the next.
func (a *Approver) serve(ctx context.Context, it item) error {
	w, pause, ok := a.lanes.next(it.lane, time.Now())
	if !ok {
		if pause > 0 {
			a.queue.AddAfter(it, pause)
		}
		return nil
	}
	defer a.queue.Add(it) // after a panic too: the others of the lane are due
	again, err := a.decide(ctx, w, a.judge, retryAt)
	if again && err == nil && a.toldToAskAgain(w.name) {
		a.lanes.holdUntil(w.name, func(int) time.Time { return time.Now().Add(askedFor) })
	}
	return err
}

// retryAt is when a request that was held that often is judged again.
func retryAt(tries int) time.Time { return time.Now().Add(backoff.Pause(tries)) }

// decide judges a request and forgets it, unless it has to be judged again; then it
// is held until due says. It is held after a panic too, or it would be the next of its
// lane once more.
func (a *Approver) decide(ctx context.Context, w waiting, judge judgement, due func(tries int) time.Time) (again bool, err error) {
	decided := false
	defer func() {
		if !decided {
			a.lanes.holdUntil(w.name, due)
		}
	}()
	if again, err = a.handle(ctx, w.name, judge); err != nil {
		return again, fmt.Errorf("signing request %s: %w", quote.Name(w.name), err)
	}
	if decided = !again; decided {
		a.forget(w.name)
	}
	return again, nil
}

// forget drops a request that is decided, gone or not ours.
func (a *Approver) forget(request string) {
	a.lanes.drop(request)
	a.memory.forget(request)
}
