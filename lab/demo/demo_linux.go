package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/progress"
	"github.com/joinery/joinery/lab/site"
)

// Options say how to play the story.
type Options struct {
	// Out is the directory for demo.json and logs/.
	Out string
	// Terminal is where the timeline is drawn.
	Terminal io.Writer
	// Log gets what the lab itself has to say; nil for nothing.
	Log *slog.Logger
	// Kept, when set, is called after the story, before the teardown, with how to
	// reach the cluster; the teardown waits until it returns.
	Kept func(ctx context.Context, kubectl []string)

	// Configure may change the controller's configuration.
	Configure func(*v1alpha1.ControllerSpec)
	// Before is called before each step after the cluster is up, with its name.
	// An error ends the story.
	Before func(ctx context.Context, step string, s *site.Site) error
	// After, when set, is called after the story, before the teardown. An error
	// fails the run.
	After func(ctx context.Context, s *site.Site) error
	// Patience, unless 0, bounds every step after the cluster is up.
	Patience time.Duration
}

// ErrNotObserved says that a step of the story was not observed; Facts say which.
var ErrNotObserved = errors.New("not every step was observed")

// teardownTime bounds the teardown, which must not depend on the run's context.
const teardownTime = 2 * time.Minute

// Run plays the story and returns what was observed; Facts.OK says whether that
// was everything. The facts are written to Out whatever happens.
func Run(ctx context.Context, o Options) (*Facts, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Facts{Latency: Latency{BootToReadySeconds: map[string]map[string]float64{}}}
	f.Tokens.IDs = []string{}
	t := newTimeline(o.Terminal, time.Now())
	stop := make(chan struct{})
	drawn := make(chan struct{})
	go func() { defer close(drawn); t.animate(stop) }()

	err := play(ctx, o, f, t)

	close(stop)
	<-drawn
	f.OK = err == nil
	return f, errors.Join(err, finish(f, t, o))
}

// play runs the story from the first build to the teardown.
func play(ctx context.Context, o Options, f *Facts, t *timeline) (err error) {
	k, own, err := prepare(ctx, o, f, t)
	if err != nil {
		return err
	}
	begin := time.Now()
	t.print("\n── %s", stepCluster)
	lab, err := site.Open(ctx, site.Options{Kit: k, Programs: own, Cluster: Cluster, LogDir: filepath.Join(o.Out, "logs"), Log: o.Log,
		Report: reporter(t), Configure: watchable(o.Configure)})
	if lab != nil {
		defer func() { err = errors.Join(err, tearDown(ctx, lab, f, t)) }()
	}
	if err != nil {
		recordStep(f, t, stepCluster, time.Since(begin), nil, err)
		return fmt.Errorf("%s: %w: %w", stepCluster, ErrNotObserved, err)
	}
	recordStep(f, t, stepCluster, time.Since(begin), map[string]any{"master": lab.Cluster.Master().ID(), "run": lab.Host.Prefix()}, nil)

	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen := newObserver(t, lab.World, Cluster)
	if err := seen.watch(watching, lab.Cluster.Client()); err != nil {
		return err
	}
	go seen.followAWS(watching)
	s := &story{lab: lab, seen: seen, facts: f}
	defer s.conclude()
	if err := s.tell(ctx, o.patience, func(ctx context.Context, step string) error {
		if o.Before == nil {
			return nil
		}
		return o.Before(ctx, step, lab)
	}); err != nil {
		return fmt.Errorf("%w: %w", ErrNotObserved, err)
	}
	if o.After != nil {
		if err := o.After(ctx, lab); err != nil {
			return fmt.Errorf("after the story: %w", err)
		}
	}
	if o.Kept == nil {
		return nil
	}
	f.OK = true
	s.conclude()
	if err := finish(f, t, o); err != nil {
		return err
	}
	o.Kept(ctx, lab.Cluster.KubectlCommand())
	return nil
}

// finish writes the facts and tells the outcome.
func finish(f *Facts, t *timeline, o Options) error {
	f.Events = t.history()
	summarize(f, t, o)
	return f.write(o.Out)
}

func (o Options) patience(c chapter) time.Duration {
	if o.Patience > 0 {
		return min(o.Patience, c.patience)
	}
	return c.patience
}

// prepare makes what the lab consists of: foreign programs, images and
// Joinery's own programs.
func prepare(ctx context.Context, o Options, f *Facts, t *timeline) (k *kit.Kit, own map[string]string, err error) {
	const step = "prepare"
	begin := time.Now()
	t.print("── %s", step)
	if why := host.Machines(); why != "" {
		return nil, nil, fmt.Errorf("%s: %s", step, why)
	}
	k, err = kit.Prepare(ctx, kit.Options{Report: reporter(t)})
	if err == nil {
		own, err = k.Own(ctx, filepath.Join(o.Out, "bin"), "./cmd/joinery-agent", "./cmd/joinery-controller")
	}
	recordStep(f, t, step, time.Since(begin), nil, err)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", step, err)
	}
	return k, own, nil
}

// reporter prints what the lab builds and boots.
func reporter(t *timeline) progress.Func {
	return func(e progress.Event) {
		switch {
		case e.State == progress.Started:
			t.say(e.Step + " …")
		case e.State == progress.Noted:
			t.print("  %s", e.Step)
		case e.Err != nil:
			t.print("  %-48s failed after %.1f s", e.Step, e.Elapsed.Seconds())
		case !e.Cached:
			t.print("  %-48s %6.1f s", e.Step, e.Elapsed.Seconds())
		}
	}
}

// conclude fills in what is known only at the end of the story.
func (s *story) conclude() {
	s.facts.Tokens.IDs = s.facts.Tokens.IDs[:0]
	for _, p := range s.seen.tokens() {
		s.facts.Tokens.IDs = append(s.facts.Tokens.IDs, p.id)
	}
	s.facts.Tokens.Rotations = max(0, len(s.facts.Tokens.IDs)-1)
	left, _ := s.seen.workers()
	s.facts.Nodes.Final = len(left)
	launched := map[string]time.Time{}
	for _, i := range s.lab.World.Instances() {
		launched[i.PrivateDNSName] = i.LaunchTime
	}
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	s.facts.Nodes.Peak = s.seen.peak
	for node, at := range s.seen.ready {
		phases := map[string]float64{"total": seconds(at.Sub(launched[node]))}
		if r := s.seen.reports[node]; r != nil && len(r.Boot) > 0 {
			phases["launchToAgent"] = seconds(r.Boot[0].StartedAt.Sub(launched[node]))
			for _, b := range r.Boot {
				phases[b.Phase] = float64(b.Milliseconds) / 1000
			}
		}
		s.facts.Latency.BootToReadySeconds[node] = phases
	}
}

// tearDown takes the lab down, also when ctx has ended, and proves that nothing
// of it is left.
func tearDown(ctx context.Context, lab *site.Site, f *Facts, t *timeline) error {
	begin := time.Now()
	t.print("\n── %s", stepTeardown)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTime)
	defer cancel()
	left, err := lab.Close(bounded)
	if len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("left behind: %s", strings.Join(left, ", ")))
	}
	recordStep(f, t, stepTeardown, time.Since(begin), map[string]any{"left": len(left)}, err)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", stepTeardown, ErrNotObserved, err)
	}
	return nil
}

func summarize(f *Facts, t *timeline, o Options) {
	t.print("%s", t.chart(time.Now()))
	for _, s := range f.Steps {
		mark := "ok    "
		if !s.OK {
			mark = "FAILED"
		}
		t.print("  %s  %-40s %7.1f s", mark, s.Name, s.Seconds)
	}
	t.print("\n  workers %d -> %d -> %d, pods %d of %d ran, %d rotations, pending to desired %.2f s",
		f.Nodes.Start, f.Nodes.Peak, f.Nodes.Final, f.Pods.Ran, f.Pods.Wanted, f.Tokens.Rotations, f.Latency.PendingToDesiredSeconds)
	t.print("  facts: %s, logs: %s", filepath.Join(o.Out, "demo.json"), filepath.Join(o.Out, "logs"))
	if !f.OK {
		t.print("\n  NOT every step was observed.")
	}
}
