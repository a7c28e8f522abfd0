package loop

import (
	"sync"
	"time"

	"github.com/joinery/joinery/internal/drive"
)

// What starts a round.
const (
	wokenByPods  = "pods"
	wokenByNodes = "nodes"
	wokenByTimer = "timer"
)

// waker knows what happened since the last round began, and when the next one begins
// for it. It waits for nothing itself.
type waker struct {
	// idle is how long no further pod must have come, longest how long that is
	// waited for at most.
	idle, longest time.Duration
	wake          *drive.Wake

	mu sync.Mutex // guards what follows; zero times are of what did not happen
	// firstPod and lastPod are when pods turned unschedulable, firstNode is when
	// something else happened.
	firstPod, lastPod, firstNode time.Time
}

func newWaker(idle, longest time.Duration) *waker {
	return &waker{idle: idle, longest: longest, wake: drive.NewWake()}
}

// podPending says that a pod turned unschedulable.
func (w *waker) podPending() {
	w.note(func(now time.Time) {
		w.firstPod, w.lastPod = firstOf(w.firstPod, now), now
	})
}

// nodeChanged says that something else happened that may change a plan.
func (w *waker) nodeChanged() {
	w.note(func(now time.Time) { w.firstNode = firstOf(w.firstNode, now) })
}

func (w *waker) note(set func(now time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	set(time.Now())
	w.wake.Now()
}

func firstOf(before, now time.Time) time.Time {
	if before.IsZero() {
		return now
	}
	return before
}

// due is when the next round begins, after a rest from began to end:
//   - With a pod, once the window has passed, even if that is after end. It is open
//     until no pod has come for idle, at most for longest.
//   - With any other change, once longest has passed, so that a storm of changes does
//     not keep the planner busy.
//
// What happened before the rest counts from its beginning.
func (w *waker) due(began, end time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.firstPod.IsZero():
		return earlier(later(w.lastPod, began).Add(w.idle), later(w.firstPod, began).Add(w.longest))
	case !w.firstNode.IsZero():
		return earlier(later(w.firstNode, began).Add(w.longest), end)
	}
	return end
}

// take returns what starts the round that begins now, which answers all that
// happened before.
func (w *waker) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	pods, nodes := !w.firstPod.IsZero(), !w.firstNode.IsZero()
	w.firstPod, w.lastPod, w.firstNode = time.Time{}, time.Time{}, time.Time{}
	switch {
	case pods:
		return wokenByPods
	case nodes:
		return wokenByNodes
	}
	return wokenByTimer
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
