// Package boot takes a machine from its start to a Ready Node: a fixed list of
// stages, each of which may be run again at any time. A stage that fails is
// tried again for ever, with growing pauses, and says what it waits for; no
// failure ends the boot, because an instance that gave up can only be replaced.
package boot

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/wait"
)

// Stage is one step of a boot. Run must be idempotent and end with its context.
type Stage struct {
	// Name is the phase in the boot timeline.
	Name string
	// Again is the stage at which to go on after a failure; the stage itself
	// when empty.
	Again string
	// Limit bounds one attempt.
	Limit time.Duration
	// Run does it.
	Run func(ctx context.Context) error
}

// supervisor is told how the boot goes.
type supervisor interface {
	// Status says in one line what is done or waited for.
	Status(text string)
	// Expect says that it will be called again within d.
	Expect(d time.Duration)
}

// grace is what a stage may take beyond its limit before the watchdog takes it
// for hung.
const grace = time.Minute

// Sequence runs stages in order. Its fields must be set, but for Purpose and
// Timeline.
type Sequence struct {
	// Purpose is what the supervisor is told that the stages are for; "boot" when
	// empty.
	Purpose    string
	Stages     []Stage
	Supervisor supervisor
	// Random gives numbers from 0 up to 1 for the jitter.
	Random func() float64
	Log    *slog.Logger
	// Timeline is what happened so far, in order; Run appends to it.
	Timeline []v1alpha1.BootPhase
}

// Run runs all stages and returns nil after the last, or the context's error.
func (s *Sequence) Run(ctx context.Context) error {
	failures := map[string]int{} // stage -> failures in a row
	for i := 0; i < len(s.Stages); {
		stage := s.Stages[i]
		began := time.Now()
		s.status(stage.Name)
		err := s.attempt(ctx, stage)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			s.record(stage.Name, began)
			s.Log.Info("stage done", "stage", stage.Name, "milliseconds", time.Since(began).Milliseconds(), "failures", failures[stage.Name])
			failures[stage.Name] = 0
			i++
			continue
		}
		pause := delay(err, failures[stage.Name], s.Random())
		failures[stage.Name]++
		s.tell(stage.Name, err, failures[stage.Name], pause)
		s.Supervisor.Expect(pause + grace)
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
		s.record(stage.Name, began)
		i = s.index(stage.Again, i)
	}
	return nil
}

func (s *Sequence) attempt(ctx context.Context, stage Stage) error {
	s.Supervisor.Expect(stage.Limit + grace)
	ctx, cancel := context.WithTimeout(ctx, stage.Limit)
	defer cancel()
	return stage.Run(ctx)
}

func (s *Sequence) status(text string) {
	s.Supervisor.Status(cmp.Or(s.Purpose, "boot") + ": " + text)
}

func (s *Sequence) tell(stage string, err error, failures int, pause time.Duration) {
	s.status(stage + ": " + err.Error())
	if _, ok := waits(err); ok {
		if failures == 1 {
			s.Log.Info("stage waits", "stage", stage, "reason", err.Error())
		}
		return
	}
	s.Log.Warn("stage failed", "stage", stage, "failures", failures, "retry", pause.Round(time.Millisecond), "error", err)
}

// record adds an attempt to the phase's time; the pause after a failure is part
// of it.
func (s *Sequence) record(phase string, began time.Time) {
	took := time.Since(began).Milliseconds()
	for i := range s.Timeline {
		if p := &s.Timeline[i]; p.Phase == phase {
			p.Milliseconds += took
			p.Attempts++
			return
		}
	}
	s.Timeline = append(s.Timeline, v1alpha1.BootPhase{Phase: phase, StartedAt: began.UTC(), Milliseconds: took, Attempts: 1})
}

func (s *Sequence) index(name string, fallback int) int {
	for i, stage := range s.Stages {
		if stage.Name == name {
			return i
		}
	}
	return fallback
}
