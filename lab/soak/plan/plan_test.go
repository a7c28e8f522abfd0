package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/soak/plan"
)

func lanes(random *rand.Rand) []plan.Lane {
	var all []plan.Lane
	for n := range 1 + random.IntN(3) {
		l := plan.Lane{Name: fmt.Sprint("lane", n), Least: time.Duration(10+random.IntN(60)) * time.Second, Share: 0.1 + 0.8*random.Float64()}
		l.Most = l.Least + time.Duration(random.IntN(60))*time.Second
		for k := range 1 + random.IntN(40) {
			l.Kinds = append(l.Kinds, fmt.Sprintf("%s-%d", l.Name, k))
		}
		all = append(all, l)
	}
	return all
}

// Whatever the lanes are, a lane does one thing at a time and leaves the rest of
// the time to the recovery, no kind comes twice more often than another, and all come where
// there is time for them.
func TestPlans(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		all, length := lanes(random), time.Duration(1+random.IntN(60))*time.Minute
		steps := plan.Make(seed, length, all...)
		if !slices.IsSortedFunc(steps, func(a, b plan.Step) int { return int(a.Begin - b.Begin) }) {
			t.Errorf("seed %d: not in order", seed)
		}
		for _, l := range all {
			check(t, seed, l, length, steps)
		}
	}
}

func check(t *testing.T, seed uint64, l plan.Lane, length time.Duration, steps []plan.Step) {
	t.Helper()
	var free time.Duration
	times := map[string]int{}
	for _, s := range steps {
		if s.Lane != l.Name {
			continue
		}
		slot := s.End - s.Begin
		if s.Begin < free || s.End > length || slot < l.Least || slot > l.Most || s.Hold < time.Duration(l.Share*float64(slot/2))-1 || s.Hold > time.Duration(l.Share*float64(slot)) {
			t.Errorf("seed %d: %+v, lane free at %s, %s long", seed, s, free, length)
		}
		free = s.End
		times[s.Kind]++
	}
	least, most := length, time.Duration(0)
	for _, k := range l.Kinds {
		least, most = min(least, time.Duration(times[k])), max(most, time.Duration(times[k]))
	}
	if most-least > 1 {
		t.Errorf("seed %d: lane %s: %v", seed, l.Name, times)
	}
	if missing := plan.Missing(steps, l); length >= l.Least*time.Duration(len(l.Kinds)) && len(missing) > 0 {
		t.Errorf("seed %d: %s is enough for all of lane %s: missing %q", seed, length, l.Name, missing)
	}
}

func TestAPlanIsRepeatedByItsSeed(t *testing.T) {
	all := lanes(rand.New(rand.NewPCG(7, 7)))
	one, again, other := plan.Make(1, time.Hour, all...), plan.Make(1, time.Hour, all...), plan.Make(2, time.Hour, all...)
	if !slices.Equal(one, again) {
		t.Error("the same seed gives another plan")
	}
	if slices.Equal(one, other) {
		t.Error("another seed gives the same plan")
	}
}

func TestAPlanSaysWhatItHasNoTimeFor(t *testing.T) {
	l := plan.Lane{Name: "l", Kinds: []string{"a", "b", "c"}, Least: time.Minute, Most: time.Minute, Share: 0.5}
	steps := plan.Make(1, 2*time.Minute, l)
	if len(steps) != 2 || len(plan.Missing(steps, l)) != 1 || len(plan.Missing(steps, plan.Lane{Name: "other", Kinds: []string{"a"}})) != 1 {
		t.Errorf("%+v", steps)
	}
	if steps := plan.Make(1, time.Hour, plan.Lane{Name: "empty", Least: time.Minute, Most: time.Minute, Share: 0.5}); len(steps) != 0 {
		t.Errorf("%+v", steps)
	}
}
