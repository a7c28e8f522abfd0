package drive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/wait"
	"github.com/joinery/joinery/lab/bubble"
)

// work runs the keys for d of virtual time, while happen goes on.
func work(t *testing.T, d time.Duration, k drive.Keys[string], happen func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if k.Log == nil {
		k.Log = slog.New(slog.DiscardHandler)
	}
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	happen()
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended with %v", err)
	}
}

func queueOf(keys ...string) *drive.Queue[string] {
	q := drive.NewQueue[string](drive.Backoff{First: time.Second, Last: 4 * time.Second})
	for _, key := range keys {
		q.Add(key)
	}
	return q
}

func TestKeysAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, at := time.Now(), map[string][]int{}
		q := queueOf("again", "again", "fails", "once", "later")
		work(t, time.Minute, drive.Keys[string]{Name: "x", Queue: q, Work: func(_ context.Context, keys []string) ([]string, error) {
			key := keys[0]
			at[key] = append(at[key], int(time.Since(began)/time.Second))
			switch n := len(at[key]); {
			case key == "again" && n%6 != 0:
				return keys, nil
			case key == "fails" && n == 1:
				return keys, errors.New("no answer")
			case key == "fails" && n == 2:
				return nil, errors.New("no use")
			case key == "later" && n < 3:
				q.AddAfter(key, 10*time.Second)
			}
			return nil, nil
		}}, func() {
			bubble.Sleep(30 * time.Second)
			q.Add("again")
		})
		for key, want := range map[string][]int{
			"again": {0, 1, 3, 7, 11, 15, 30, 31, 33, 37, 41, 45}, "fails": {0, 1}, "once": {0}, "later": {0, 10, 20},
		} {
			if !slices.Equal(at[key], want) {
				t.Errorf("%s was worked on at %v: expected %v", key, at[key], want)
			}
		}
	})
}

func TestKeysOutliveHangsAndPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, tries, log := prometheus.NewRegistry(), map[string]int{}, &bytes.Buffer{}
		work(t, 10*time.Second, drive.Keys[string]{
			Name: "x", Queue: queueOf("panics", "hangs", "works"), Timeout: 3 * time.Second, Meter: drive.NewMeter(reg), Log: slog.New(slog.NewTextHandler(log, nil)),
			Work: func(ctx context.Context, keys []string) ([]string, error) {
				tries[keys[0]]++
				switch {
				case keys[0] == "panics" && tries["panics"] < 3:
					panic("no name")
				case keys[0] == "hangs" && tries["hangs"] == 1:
					<-ctx.Done()
					return keys, ctx.Err()
				}
				return nil, nil
			}}, func() {})
		if want := map[string]int{"panics": 3, "hangs": 2, "works": 1}; fmt.Sprint(tries) != fmt.Sprint(want) {
			t.Errorf("tried %v: expected %v", tries, want)
		}
		if ok, bad := rounds(t, reg, "ok"), rounds(t, reg, "failed"); ok != 3 || bad != 3 {
			t.Errorf("metrics count %v and %v calls: expected 3 and 3", ok, bad)
		}
		for _, said := range []string{`panics`, `no name`, "keys_test.go"} {
			if !strings.Contains(log.String(), said) {
				t.Errorf("the log does not name %s:\n%s", said, log)
			}
		}
	})
}

// A key over which every attempt panics delays none that is in the same batch.
func TestKeysOfABatchAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches []string
		q := queueOf("a", "bad", "c")
		work(t, 2500*time.Millisecond, drive.Keys[string]{Name: "x", Queue: q, Most: 3, Gather: 100 * time.Millisecond,
			Work: func(_ context.Context, keys []string) ([]string, error) {
				batches = append(batches, strings.Join(keys, "+"))
				if slices.Contains(keys, "bad") {
					panic("a label that is none")
				}
				return nil, nil
			}}, func() {
			bubble.Sleep(50 * time.Millisecond)
			q.Add("d") // a fourth is left to the next batch
			bubble.Sleep(450 * time.Millisecond)
			q.Add("e")
			bubble.Sleep(50 * time.Millisecond)
			q.Add("f")
		})
		want := []string{"a+bad+c", "a", "bad", "c", "d", "e+f", "bad"}
		if !slices.Equal(batches, want) {
			t.Errorf("worked on %v: expected %v", batches, want)
		}
	})
}

func TestWorkersAreBoundAndShowThatTheyAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alive, most atomic.Int32
		hold, busy := make(chan struct{}), make(chan int32, 1)
		busy <- 0
		q := queueOf()
		work(t, 30*time.Minute, drive.Keys[string]{Name: "x", Queue: q, Workers: 3, Done: func() { alive.Add(1) },
			Work: func(context.Context, []string) ([]string, error) {
				n := <-busy + 1
				most.Store(max(most.Load(), n)) // of the one who has busy
				busy <- n
				<-hold // whatever the context says
				busy <- <-busy - 1
				return nil, nil
			}}, func() {
			bubble.Sleep(10*time.Minute + time.Second)
			if n := alive.Load(); n != 11 {
				t.Errorf("shown %d times in ten idle minutes", n)
			}
			for i := range 5 {
				q.Add(fmt.Sprint(i))
			}
			bubble.Sleep(10 * time.Minute)
			if n, m := alive.Load(), most.Load(); n != 11 || m != 3 {
				t.Errorf("shown %d times by %d workers that hang", n-11, m)
			}
			close(hold)
			bubble.Sleep(time.Second)
			if alive.Load() != 12 {
				t.Error("not shown once a worker is free again")
			}
		})
	})
}

// A key that is added while it is worked on is worked on once more, by one worker at a time.
func TestAddDuringWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, at := time.Now(), []time.Duration(nil)
		q := queueOf("k")
		work(t, time.Minute, drive.Keys[string]{Name: "x", Queue: q, Workers: 2, Work: func(ctx context.Context, _ []string) ([]string, error) {
			at = append(at, time.Since(began)/time.Second)
			return nil, wait.For(ctx, 10*time.Second)
		}}, func() {
			for range 3 {
				bubble.Sleep(2 * time.Second)
				q.Add("k")
			}
		})
		if !slices.Equal(at, []time.Duration{0, 10}) {
			t.Errorf("worked on at %v s", at)
		}
	})
}
