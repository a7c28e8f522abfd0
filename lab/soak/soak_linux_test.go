package soak_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/soak/invariant"
	"github.com/joinery/joinery/lab/soak/plan"
)

var (
	duration = flag.Duration("for", 22*time.Minute, "how long faults are done; what comes before and after takes some minutes")
	seed     = flag.Uint64("seed", 0, "what the faults are chosen by; 0: by the time")
	only     = flag.String("only", "", "do only faults whose name holds this text")
)

// returns is how long the cluster may take to come back to its minimum once nothing is
// done to it any more: a back-off is five minutes, an idle node goes after seconds.
const returns = 10 * time.Minute

// lanes are the sequences of faults. At most two are done at the same time, besides
// what keeps a node.
func lanes() (all []plan.Lane, faults map[string][]fault) {
	faults = map[string][]fault{
		"machines": slices.Concat(machineFaults, masterFaults), "people and AWS": slices.Concat(peopleFaults, awsFaults), "keepers": keepers,
	}
	for _, l := range []plan.Lane{
		{Name: "machines", Least: 40 * time.Second, Most: 90 * time.Second, Share: 0.5},
		{Name: "people and AWS", Least: 25 * time.Second, Most: 60 * time.Second, Share: 0.5},
		{Name: "keepers", Least: 180 * time.Second, Most: 4 * time.Minute, Share: 0.8},
	} {
		for _, f := range faults[l.Name] {
			if strings.Contains(f.name, *only) {
				l.Kinds = append(l.Kinds, f.name)
			}
		}
		all = append(all, l)
	}
	return all, faults
}

// TestSoak does faults of every kind for half an hour, watches throughout that nothing
// is seen that must not be, and then waits for the cluster to come back.
func TestSoak(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: go test ./lab/soak -seed %d -for %s does the same faults in the same order", *seed, *seed, *duration)
	s := newScene(t, installation.Open(t))
	o := &observer{scene: s, watch: invariant.NewWatch(invariant.Terms{ControllerRole: "joinery-controller", Masters: s.masters()}), controllers: map[string]invariant.Controller{}}
	m := &meter{scene: s, cpu: map[string]time.Duration{}}
	watching, stop := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	watchers.Go(func() { o.run(watching) })
	watchers.Go(func() { m.run(watching) })
	defer watchers.Wait()
	defer stop()

	s.awaitMinimum(o)
	strokes := s.storm(o)
	s.rest(o)
	stop()
	watchers.Wait()
	t.Logf("what was done, and when the cluster was whole again:\n%s", faultTable(strokes))
	t.Logf("for how long invariants were broken at the longest:\n%s", o.table())
	t.Logf("what the controllers used, by the minute:\n%s", m.table())
	o.check(strokes)
}

// storm plays the plan beside a workload that comes and goes.
func (s *scene) storm(o *observer) (strokes []*stroke) {
	s.t.Helper()
	all, faults := lanes()
	steps := plan.Make(*seed, *duration, all...)
	for _, step := range steps {
		s.t.Logf("plan: %6.1f s for %5.1f s: %s: %s", step.Begin.Seconds(), step.Hold.Seconds(), step.Lane, step.Kind)
	}
	kinds, missing := 0, plan.Missing(steps, all...)
	for _, l := range all {
		kinds += len(l.Kinds)
	}
	s.t.Logf("%d faults of %d kinds; no time for %q", len(steps), kinds-len(missing), missing)
	work := tide{s}
	if err := work.begin(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	flowing, ebb := context.WithCancel(s.t.Context())
	var playing, working sync.WaitGroup
	working.Go(func() { work.run(flowing, rand.New(rand.NewPCG(*seed, 1))) })
	s.begin.Store(time.Now().UnixNano())
	done := make([][]*stroke, len(all))
	for n, l := range all {
		own := slices.DeleteFunc(slices.Clone(steps), func(step plan.Step) bool { return step.Lane != l.Name })
		playing.Go(func() { done[n] = s.lane(s.t.Context(), o, faults[l.Name], own) })
	}
	playing.Wait()
	ebb()
	working.Wait()
	s.say("the storm is over")
	if err := s.again(work.end); err != nil {
		s.t.Error(err)
	}
	strokes = slices.Concat(done...)
	slices.SortFunc(strokes, func(a, b *stroke) int { return a.began.Compare(b.began) })
	return strokes
}

// again tries for some seconds: an API server may be about to come back.
func (s *scene) again(do func(context.Context) error) (err error) {
	for range 10 {
		if err = do(labtest.Lasting(s.t)); err == nil {
			return nil
		}
		time.Sleep(3 * time.Second)
	}
	return err
}

// awaitMinimum waits until the cluster is as it is to be without pods.
func (s *scene) awaitMinimum(o *observer) {
	s.t.Helper()
	begin, last := time.Now(), ""
	for {
		if _, at := o.whole(); at.After(begin) {
			left := o.left()
			if len(left) == 0 {
				s.say("at its minimum after %.0f s", time.Since(begin).Seconds())
				return
			}
			if seen := fmt.Sprint(left); seen != last {
				s.say("left: %s", seen)
				last = seen
			}
		}
		if time.Since(begin) > returns {
			s.t.Errorf("the cluster is not at its minimum %s after the last fault: %s", returns, last)
			return
		}
		if !sleep(s.t.Context(), look) {
			s.t.Fatal("ended")
		}
	}
}

// rest waits for the cluster to come back by itself, with nothing left over, and to stay so.
func (s *scene) rest(o *observer) {
	s.t.Helper()
	s.awaitMinimum(o)
	sleep(s.t.Context(), 30*time.Second)
	if left := o.left(); len(left) > 0 {
		s.t.Errorf("half a minute later: %v", left)
	}
	for _, line := range o.crashes(s.t.Context()) {
		s.t.Errorf("a controller crashed: %s", line)
	}
	webhooks, err := s.webhooks(s.t.Context())
	if err != nil || len(webhooks) > 0 {
		s.t.Errorf("left over: %q, %v", webhooks, err)
	}
}

// check fails the test for each violation, and for each fault that was not done.
func (o *observer) check(strokes []*stroke) {
	o.t.Helper()
	for _, v := range o.violations {
		o.t.Errorf("%7.1f s: %s", o.into(v.At).Seconds(), v)
	}
	for _, k := range strokes {
		if k.err != nil {
			o.t.Errorf("%s: %v", k.step.Kind, k.err)
		}
	}
}

func faultTable(strokes []*stroke) string {
	return tabulated("begin, s\tfault\ton\theld, s\twhole again after, s", func(row func(...any)) {
		for _, k := range strokes {
			whole := "the next fault came first"
			if !k.recovered.IsZero() {
				whole = fmt.Sprintf("%.0f", k.recovered.Sub(k.lifted).Seconds())
			}
			row(fmt.Sprintf("%.0f", k.into(k.began).Seconds()), k.step.Kind, k.on, fmt.Sprintf("%.0f", k.lifted.Sub(k.began).Seconds()), whole)
		}
	})
}

// table says how near each invariant came to its bound.
func (o *observer) table() string {
	return tabulated("invariant\tat the longest, s\tbound, s", func(row func(...any)) {
		for _, i := range invariant.All {
			row(i.Name, fmt.Sprintf("%.0f", o.watch.Longest[i.Name].Seconds()), i.Within.Seconds())
		}
	})
}
