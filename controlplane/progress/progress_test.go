package progress_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/internal/wait"
	"github.com/joinery/joinery/lab/bubble"
)

const patience = 5 * time.Minute

func standing(t *testing.T, b *progress.Board) progress.Standing {
	t.Helper()
	all := b.Standings(time.Now())
	if len(all) != 1 || all[0].Name != "work" {
		t.Fatalf("standings %+v", all)
	}
	return all[0]
}

// hang runs until it is stopped.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAServiceWithRoundsIsLateWithoutThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &progress.Board{}
		s := b.WatchRounds(leader.Service{Name: "work", Run: hang}, patience)
		b.Done("work")
		if got := standing(t, b); !got.Idle || got.Late {
			t.Errorf("before it leads: %+v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		bubble.Sleep(patience)
		if got := standing(t, b); got.Idle || got.Late || got.Since != patience {
			t.Errorf("at the end of its patience: %+v", got)
		}
		bubble.Sleep(time.Second)
		if got := standing(t, b); !got.Late {
			t.Errorf("alive without a round: %+v", got)
		}
		b.Done("other")
		if got := standing(t, b); !got.Late {
			t.Errorf("saved by another's round: %+v", got)
		}
		b.Done("work")
		if got := standing(t, b); got.Late || got.Since != 0 {
			t.Errorf("after a round: %+v", got)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("its end is not passed on: %v", err)
		}
		if got := standing(t, b); !got.Idle {
			t.Errorf("after it led: %+v", got)
		}
	})
}

func TestAServiceThatEndsAgainAndAgainIsLate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lasts time.Duration
		late  bool
	}{
		{"at once", 0, true},
		{"soon", 59 * time.Second, true},
		{"after a steady run", 2 * time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &progress.Board{}
				s := b.Watch(leader.Service{Name: "work", Run: func(ctx context.Context) error {
					return cmp.Or(wait.For(ctx, tt.lasts), errors.New("no launch template"))
				}}, patience)
				for range 20 {
					if err := s.Run(t.Context()); err == nil {
						t.Fatal("its error is lost")
					}
					bubble.Sleep(30 * time.Second)
				}
				if got := standing(t, b); got.Late != tt.late {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

func TestASteadyServiceNeedsNoRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &progress.Board{}
		s := b.Watch(leader.Service{Name: "work", Run: hang}, patience)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		bubble.Sleep(24 * time.Hour)
		if got := standing(t, b); got.Late {
			t.Errorf("%+v", got)
		}
		cancel()
		<-done
	})
}

func TestMetricsSayWhoIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reg := &progress.Board{}, prometheus.NewRegistry()
		reg.MustRegister(b)
		s := b.WatchRounds(leader.Service{Name: "work", Run: hang}, patience)
		gather := func() (out []float64) {
			all, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				out = append(out, f.GetMetric()[0].GetGauge().GetValue())
			}
			return out
		}
		if got := gather(); len(got) != 0 {
			t.Errorf("standing by: %v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		bubble.Sleep(time.Minute)
		if got := gather(); !slices.Equal(got, []float64{0, 60}) {
			t.Errorf("in time: %v", got)
		}
		bubble.Sleep(patience)
		if got := gather(); !slices.Equal(got, []float64{1, 360}) {
			t.Errorf("late: %v", got)
		}
		cancel()
		<-done
	})
}
