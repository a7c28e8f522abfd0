package boot_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/agent/boot"
	"github.com/joinery/joinery/api/v1alpha1"
)

// listener keeps what a supervisor is told.
type listener struct {
	mu       sync.Mutex
	statuses []string
	until    time.Time
}

func (l *listener) Status(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses = append(l.statuses, text)
}

func (l *listener) Expect(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Now().Add(d)
}

type slowError struct{}

func (slowError) Error() string { return "refused" }
func (slowError) Slow() bool    { return true }

func sequence(stages ...boot.Stage) (*boot.Sequence, *listener) {
	l := &listener{}
	return &boot.Sequence{Stages: stages, Supervisor: l, Random: func() float64 { return 0.5 }, Log: slog.New(slog.DiscardHandler)}, l
}

func ok(context.Context) error { return nil }

func TestFailureGoesBackForAFreshBundleAndNeverGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trace []string
		left := 40
		s, l := sequence(
			boot.Stage{Name: "fetch", Limit: time.Minute, Run: func(context.Context) error { trace = append(trace, "fetch"); return nil }},
			boot.Stage{Name: "join", Again: "fetch", Limit: time.Minute, Run: func(context.Context) error {
				trace = append(trace, "join")
				if left--; left >= 0 {
					return errors.New("no such luck")
				}
				return nil
			}},
			boot.Stage{Name: "report", Limit: time.Minute, Run: ok},
		)
		began := time.Now()
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := slices.Repeat([]string{"fetch", "join"}, 41); !slices.Equal(trace, want) {
			t.Errorf("ran %v", trace)
		}
		if took := time.Since(began); took < 8*time.Minute || took > 11*time.Minute {
			t.Errorf("40 failures took %s: want growing pauses with a cap of 30s, halved by the jitter here", took)
		}
		got := map[string]int{}
		for _, p := range s.Timeline {
			got[p.Phase] = p.Attempts
		}
		if diff := cmp.Diff(map[string]int{"fetch": 41, "join": 41, "report": 1}, got); diff != "" {
			t.Error(diff)
		}
		if took := s.Timeline[1].Milliseconds; took != time.Since(began).Milliseconds() {
			t.Errorf("the timeline gives join %d ms of %s", took, time.Since(began))
		}
		if !slices.Contains(l.statuses, "boot: join: no such luck") {
			t.Errorf("the supervisor was told %v", l.statuses[:5])
		}
	})
}

func TestHungStageIsEndedByItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s, l := sequence()
		s.Stages = append(s.Stages, boot.Stage{Name: "fetch", Limit: 10 * time.Second, Run: func(ctx context.Context) error {
			if n++; n > 1 {
				return nil
			}
			<-ctx.Done()
			if time.Now().After(l.until) {
				t.Error("the watchdog would have struck before the limit")
			}
			return ctx.Err()
		}})
		if err := s.Run(t.Context()); err != nil || n != 2 {
			t.Errorf("ended with %v after %d attempts", err, n)
		}
	})
}

func TestPace(t *testing.T) {
	for name, tc := range map[string]struct {
		err      error
		least    time.Duration
		most     time.Duration
		failures int
	}{
		"usual":        {errors.New("x"), 30 * time.Second, 80 * time.Second, 10},
		"slow":         {slowError{}, 300 * time.Second, 600 * time.Second, 10},
		"wrapped slow": {&boot.ConfigError{Err: errors.New("x")}, 300 * time.Second, 600 * time.Second, 10},
		"waiting":      {&boot.WaitError{For: "the group", Every: time.Second}, 10 * time.Second, 10 * time.Second, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				s, _ := sequence(boot.Stage{Name: "gate", Limit: time.Second, Run: func(context.Context) error {
					if n++; n > tc.failures {
						return nil
					}
					return tc.err
				}})
				began := time.Now()
				if err := s.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < tc.least || took > tc.most {
					t.Errorf("took %s, want %s to %s", took, tc.least, tc.most)
				}
			})
		})
	}
}

func TestStopEndsTheBootAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		s, _ := sequence(boot.Stage{Name: "gate", Limit: time.Second, Run: func(context.Context) error { return slowError{} }})
		began := time.Now()
		if err := s.Run(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Minute {
			t.Errorf("ended with %v after %s", err, time.Since(began))
		}
	})
}

func TestDelayIsBounded(t *testing.T) {
	b := boot.Backoff{Base: time.Second, Cap: time.Minute}
	for failures := range 100 {
		if d := b.Delay(failures, 0.999); d > time.Minute || d < 900*time.Millisecond {
			t.Errorf("after %d failures: %s", failures, d)
		}
		if d := b.Delay(failures, 0); d != 100*time.Millisecond {
			t.Errorf("after %d failures without luck: %s", failures, d)
		}
	}
}

func TestStateSurvivesAndNeverFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "joinery/state.json")
	if s, err := boot.Load(path); err != nil || !cmp.Equal(s, boot.State{}) {
		t.Errorf("got %+v, %v without a file", s, err)
	}
	want := boot.State{
		InstanceID: "i-0123456789abcdef0", BootID: "b", NodeName: "n", TokenID: "abcdef", Complete: true,
		Boot: []v1alpha1.BootPhase{{Phase: "join", StartedAt: time.Unix(1, 0).UTC(), Milliseconds: 2, Attempts: 1}},
	}
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	if got, err := boot.Load(path); err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := boot.Load(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "read state") {
		t.Errorf("got %v for a directory", err)
	}
}
