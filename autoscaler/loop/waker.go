package loop

import (
	"context"
	"time"
)

// What starts a round.
const (
	wokenByPods  = "pods"
	wokenByNodes = "nodes"
	wokenByTimer = "timer"
)

// waker decides when the next round begins.
type waker struct {
	// idle is how long no further pod must have come, longest how long that is
	// waited for at most.
	idle, longest time.Duration
	pods, nodes   chan struct{} // each holds at most one signal
}

func newWaker(idle, longest time.Duration) *waker {
	return &waker{idle: idle, longest: longest, pods: make(chan struct{}, 1), nodes: make(chan struct{}, 1)}
}

// podPending says that a pod turned unschedulable.
func (w *waker) podPending() { signal(w.pods) }

// nodeChanged says that something else happened that may change a plan.
func (w *waker) nodeChanged() { signal(w.nodes) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting already
	}
}

// next returns what started the round, at the latest after wait. A pod starts
// it once the window has passed; a change of a node once longest has passed, so
// that a storm of changes does not keep the planner busy, or with a pod. The
// only error is that of ctx.
func (w *waker) next(ctx context.Context, wait time.Duration) (string, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-w.pods:
		return wokenByPods, w.window(ctx)
	case <-w.nodes:
	case <-timer.C:
		return wokenByTimer, ctx.Err()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	calm := time.NewTimer(w.longest)
	defer calm.Stop()
	select {
	case <-w.pods:
		return wokenByPods, w.window(ctx)
	case <-timer.C:
	case <-calm.C:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	drain(w.nodes)
	return wokenByNodes, nil
}

// window waits until no pod has come for idle, at most for longest.
func (w *waker) window(ctx context.Context) error {
	last := time.NewTimer(w.longest)
	defer last.Stop()
	for {
		calm := time.NewTimer(w.idle)
		select {
		case <-w.pods:
			calm.Stop()
			continue
		case <-calm.C:
		case <-last.C:
			calm.Stop()
		case <-ctx.Done():
			calm.Stop()
			return ctx.Err()
		}
		drain(w.nodes)
		return nil
	}
}

// drain takes the signal that the coming round will answer anyway.
func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}
