package drive_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/wait"
)

// run runs the rounds for d of virtual time and returns when each began.
func run(t *testing.T, d time.Duration, r drive.Rounds, round func(ctx context.Context, n int) (time.Duration, error)) (starts []time.Duration) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	r.Log = slog.New(slog.DiscardHandler)
	r.Round = func(ctx context.Context) (time.Duration, error) {
		starts = append(starts, time.Since(began))
		return round(ctx, len(starts))
	}
	if err := r.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended with %v", err)
	}
	return starts
}

func TestRoundsRest(t *testing.T) {
	for _, test := range []struct {
		name  string
		rest  time.Duration
		fails func(n int) bool
		want  []time.Duration // seconds
	}{
		{"as long as allowed", 0, nil, []time.Duration{0, 10, 20, 30, 40}},
		{"as asked for", 4 * time.Second, nil, []time.Duration{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44}},
		{"no longer than allowed", time.Hour, nil, []time.Duration{0, 10, 20, 30, 40}},
		{"failures back off", 0, func(int) bool { return true }, []time.Duration{0, 1, 3, 7, 15, 23, 31, 39}},
		{"a success ends the back-off", 0, func(n int) bool { return n != 3 }, []time.Duration{0, 1, 3, 13, 14, 16, 20, 28, 36, 44}},
		{"a failure may ask for less", 500 * time.Millisecond, func(n int) bool { return true }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var wrong error
				got := run(t, 46900*time.Millisecond, drive.Rounds{Name: "x", Every: 10 * time.Second, Retry: drive.Backoff{First: time.Second, Last: 8 * time.Second}},
					func(_ context.Context, n int) (time.Duration, error) {
						wrong = nil
						if test.fails != nil && test.fails(n) {
							wrong = errors.New("no answer")
						}
						return test.rest, wrong
					})
				if test.want == nil {
					if len(got) != 94 {
						t.Errorf("%d rounds", len(got))
					}
					return
				}
				want := slices.Clone(test.want)
				for i := range want {
					want[i] *= time.Second
				}
				if !slices.Equal(got, want) {
					t.Errorf("rounds began at %v: expected %v", got, want)
				}
			})
		})
	}
}

func TestWakeStartsARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := drive.NewWake()
		go func() {
			time.Sleep(3 * time.Second)
			for range 5 {
				wake.Now()
			}
		}()
		got := run(t, 9*time.Second, drive.Rounds{Name: "x", Every: time.Minute, Least: 5 * time.Second, Wake: wake},
			func(context.Context, int) (time.Duration, error) { return 0, nil })
		// Woken at 3 s, five times: one round, and not before Least is over.
		if !slices.Equal(got, []time.Duration{0, 5 * time.Second}) {
			t.Errorf("rounds began at %v", got)
		}
	})
}

func TestRoundsGoOnWhileThereIsMoreToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := run(t, 14*time.Second, drive.Rounds{Name: "x", Every: 10 * time.Second}, func(_ context.Context, n int) (time.Duration, error) {
			switch {
			case n == 3:
				return drive.AtOnce, errors.New("no answer") // has its pause
			case n >= 5:
				return 0, nil
			}
			return drive.AtOnce, nil
		})
		if want := []time.Duration{0, 0, 0, time.Second, time.Second}; !slices.Equal(got[:5], want) || len(got) < 6 || got[5] != 11*time.Second {
			t.Errorf("rounds began at %v: expected %v and then 11 s", got, want)
		}
	})
}

// A call during a round is one reason for another, and the windows are Due's.
func TestDueDecidesWhenAWokenRoundBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake, asked := drive.NewWake(), 0
		go func() {
			for _, pause := range []time.Duration{1000, 2500, 1000, 15000} {
				time.Sleep(pause * time.Millisecond)
				wake.Now()
			}
		}()
		got := run(t, 30*time.Second, drive.Rounds{Name: "x", Every: 10 * time.Second, Wake: wake, Due: func(began, end time.Time) time.Time {
			if asked++; end.Sub(began) != 10*time.Second {
				t.Errorf("asked for a rest from %v to %v", began, end)
			}
			return time.Now().Add(2 * time.Second)
		}}, func(ctx context.Context, n int) (time.Duration, error) {
			if n == 1 {
				return 0, wait.For(ctx, 2*time.Second)
			}
			return 0, nil
		})
		// Woken at 1 s, during a round; at 3.5 s and 4.5 s, in the window; at 19.5 s.
		if want := []time.Duration{0, 6500 * time.Millisecond, 16500 * time.Millisecond, 21500 * time.Millisecond}; !slices.Equal(got, want) || asked != 4 {
			t.Errorf("rounds began at %v, Due was asked %d times: expected %v and 4", got, asked, want)
		}
	})
}

// rounds is what the counter of rounds says for a result.
func rounds(t *testing.T, reg *prometheus.Registry, result string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if f.GetName() == "joinery_service_rounds_total" && l.GetName() == "result" && l.GetValue() == result {
					return m.Counter.GetValue()
				}
			}
		}
	}
	return 0
}

func TestRoundsOutliveHangsAndPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n, done, failed := 0, 0, 0
		r := drive.Rounds{Name: "x", Every: 5 * time.Second, Timeout: 10 * time.Second, Meter: drive.NewMeter(reg), Log: slog.New(slog.DiscardHandler),
			Done: func() { done++ }, Failed: func(error) { failed++ },
			Round: func(ctx context.Context) (time.Duration, error) {
				switch n++; n {
				case 1:
					<-ctx.Done()
					return 0, ctx.Err()
				case 2:
					panic("a pod without a name")
				}
				return 0, nil
			}}
		if err := r.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		if failed != 2 || done < 8 {
			t.Errorf("%d rounds failed and %d succeeded", failed, done)
		}
		if ok, bad := rounds(t, reg, "ok"), rounds(t, reg, "failed"); ok != float64(done) || bad != 2 {
			t.Errorf("metrics count %v and %v rounds: expected %d and 2", ok, bad, done)
		}
	})
}
