package loop

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/wait"
)

// Waking keeps to its windows: what a test of the whole loop would not show.
func TestWaker(t *testing.T) {
	const ms = time.Millisecond
	type begun struct {
		at   time.Duration
		wake string
	}
	pods := func(w *waker, at ...time.Duration) {
		for _, d := range at {
			time.AfterFunc(d, w.podPending)
		}
	}
	nodes := func(w *waker, at ...time.Duration) {
		for _, d := range at {
			time.AfterFunc(d, w.nodeChanged)
		}
	}
	for _, test := range []struct {
		name   string
		happen func(w *waker)
		took   time.Duration // of each round
		want   []begun
	}{
		{"nothing", func(*waker) {}, 0, []begun{{0, "timer"}, {10000 * ms, "timer"}}},
		{"a pod", func(w *waker) { pods(w, 1000*ms) }, 0, []begun{{0, "timer"}, {1250 * ms, "pods"}, {11250 * ms, "timer"}}},
		{"pods, one after another", func(w *waker) { pods(w, 1000*ms, 1200*ms, 1400*ms, 1700*ms) }, 0,
			[]begun{{0, "timer"}, {1650 * ms, "pods"}, {1950 * ms, "pods"}, {11950 * ms, "timer"}}},
		{"pods without an end", func(w *waker) {
			for at := 1000 * ms; at < 4000*ms; at += 90 * ms {
				pods(w, at)
			}
		}, 0, []begun{{0, "timer"}, {3000 * ms, "pods"}, {4220 * ms, "pods"}}},
		{"a window that outlasts the rest", func(w *waker) { pods(w, 9900*ms) }, 0, []begun{{0, "timer"}, {10150 * ms, "pods"}}},
		{"a node", func(w *waker) { nodes(w, 1000*ms) }, 0, []begun{{0, "timer"}, {3000 * ms, "nodes"}, {13000 * ms, "timer"}}},
		{"a node just before the rest ends", func(w *waker) { nodes(w, 9000*ms) }, 0, []begun{{0, "timer"}, {10000 * ms, "nodes"}}},
		{"a storm of nodes", func(w *waker) {
			for at := 1000 * ms; at < 6000*ms; at += 70 * ms {
				nodes(w, at)
			}
		}, 0, []begun{{0, "timer"}, {3000 * ms, "nodes"}, {5030 * ms, "nodes"}, {7060 * ms, "nodes"}}},
		{"a pod after a node", func(w *waker) { nodes(w, 1000*ms); pods(w, 2000*ms) }, 0, []begun{{0, "timer"}, {2250 * ms, "pods"}}},
		{"a pod whose window outlasts a node's", func(w *waker) { nodes(w, 1000*ms); pods(w, 2900*ms) }, 0, []begun{{0, "timer"}, {3150 * ms, "pods"}}},
		// What happens during a round counts from its end, and is one reason for another.
		{"during a round", func(w *waker) { nodes(w, 100*ms); pods(w, 200*ms, 900*ms) }, 1000 * ms,
			[]begun{{0, "timer"}, {1250 * ms, "pods"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 13500*ms)
				defer cancel()
				w, began := newWaker(250*ms, 2000*ms), time.Now()
				var got []begun
				test.happen(w)
				_ = drive.Rounds{Name: "x", Every: 10 * time.Second, Wake: w.wake, Due: w.due, Log: slog.New(slog.DiscardHandler),
					Round: func(ctx context.Context) (time.Duration, error) {
						got = append(got, begun{time.Since(began), w.take()})
						return 0, wait.For(ctx, test.took)
					}}.Run(ctx)
				if len(got) < len(test.want) || !slices.Equal(got[:len(test.want)], test.want) {
					t.Errorf("rounds %v: expected %v", got, test.want)
				}
			})
		})
	}
}
