package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/joinery/joinery/lab/site"
)

// Cluster is the name of the demo's cluster.
const Cluster = "demo"

// chapter is one step of the story: it makes something happen, waits until it
// was observed, and returns the evidence.
type chapter struct {
	name string
	// patience is how long the step may take before it counts as broken.
	patience time.Duration
	do       func(context.Context, *story) (map[string]any, error)
}

// The names of the steps, as in demo.json.
const (
	stepCluster  = "cluster-up"
	stepToken    = "token-published"
	stepFirst    = "first-node-joins"
	stepGrow     = "pods-make-the-group-grow"
	stepRotate   = "token-rotates-while-an-instance-boots"
	stepRun      = "all-pods-run"
	stepNever    = "a-pod-that-never-fits-is-told-why"
	stepShrink   = "idle-nodes-go"
	stepTidy     = "nothing-unneeded-stays"
	stepTeardown = "teardown-leaves-nothing"
)

// chapters is the story that follows once the cluster is up.
func chapters() []chapter {
	return []chapter{
		{stepToken, time.Minute, tokenPublished},
		{stepFirst, 2 * time.Minute, firstNodeJoins},
		{stepGrow, time.Minute, podsMakeTheGroupGrow},
		{stepRotate, 2 * time.Minute, tokenRotatesDuringBoot},
		{stepRun, 3 * time.Minute, allPodsRun},
		{stepNever, time.Minute, neverFits},
		{stepShrink, 3 * time.Minute, idleNodesGo},
		{stepTidy, 3 * time.Minute, nothingUnneededStays},
	}
}

// story is what the chapters share.
type story struct {
	lab   *site.Site
	seen  *observer
	facts *Facts
}

const (
	group      = "workers"
	workerType = "t3.medium"
	minWorkers = 1
	maxWorkers = 5
	wantedPods = 10
	workload   = "web"
	tooBig     = "too-big"
	// maxPending bounds the time from a pod being unschedulable to the request
	// for more capacity.
	maxPending = 2 * time.Second
)

// tell runs the chapters in order and stops at the first that was not observed.
// each is called with the name of every chapter before it begins.
func (s *story) tell(ctx context.Context, patience func(chapter) time.Duration, each func(context.Context, string) error) error {
	for _, c := range chapters() {
		if err := each(ctx, c.name); err != nil {
			return err
		}
		if err := s.step(ctx, c, patience(c)); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) step(ctx context.Context, c chapter, patience time.Duration) error {
	s.seen.timeline.print("\n── %s", c.name)
	begin := time.Now()
	bounded, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not observed within %s", patience))
	defer cancel()
	evidence, err := c.do(bounded, s)
	recordStep(s.facts, s.seen.timeline, c.name, time.Since(begin), evidence, err)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// recordStep adds the step to the facts and says how it went.
func recordStep(f *Facts, t *timeline, name string, took time.Duration, evidence map[string]any, err error) {
	if evidence == nil {
		evidence = map[string]any{}
	}
	mark := "✓"
	if err != nil {
		mark = "✗"
		evidence["error"] = err.Error()
	}
	f.Steps = append(f.Steps, Step{Name: name, OK: err == nil, Seconds: seconds(took), Evidence: evidence})
	t.print("%s %s (%.1f s)", mark, name, took.Seconds())
	if err != nil {
		t.print("  %v", err)
	}
}

// seconds rounds to milliseconds: more digits would pretend.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
