package drive

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// Backoff bounds a pause that doubles with each failure in a row.
type Backoff struct{ First, Last time.Duration }

// Pause returns the pause after a failure, when there were that many in a row before it.
func (b Backoff) Pause(before int) time.Duration {
	before = min(before, 63)
	if b.First > b.Last>>before { // twice as long that often would be longer, or overflow
		return b.Last
	}
	return b.First << before
}

func (b Backoff) orDefault() Backoff {
	if b.First <= 0 {
		b.First = time.Second
	}
	if b.Last < b.First {
		b.Last = max(b.First, 30*time.Second)
	}
	return b
}

// bounded returns ctx with a time-out; without one for 0.
func bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// panicError is a panic that was turned into an error.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panicked: %v\n%s", e.value, e.stack) }

// safely turns a panic into a *panicError: services work on objects that outsiders
// wrote, and a fault over one of them may cost a round but no service.
func safely(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	return work()
}
