package drive

import (
	"context"
	"time"
)

// Wake starts a round before its time. Any number of calls before the next round
// starts make one. It is safe for concurrent use.
type Wake struct{ ch chan struct{} }

// NewWake returns a Wake.
func NewWake() *Wake { return &Wake{make(chan struct{}, 1)} }

// Now has a round start as soon as may be. It never blocks.
func (w *Wake) Now() {
	select {
	case w.ch <- struct{}{}:
	default:
	}
}

// c is never ready for a nil Wake.
func (w *Wake) c() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.ch
}

// wait waits for d, and reports whether it was woken before. The only error is ctx's.
func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) (woken bool, err error) {
	if d <= 0 {
		return false, ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-t.C:
		return false, nil
	case <-wake:
		return true, nil
	}
}
