package worlds_test

import (
	"slices"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/worlds"
)

func TestSameSeedSameWorld(t *testing.T) {
	different := map[string]bool{}
	for seed := range uint64(200) {
		w := worlds.Generate(seed)
		if again := worlds.Generate(seed); again.String() != w.String() {
			t.Fatalf("seed %d made\n%s\nand then\n%s", seed, w, again)
		}
		w.Seed = 0
		different[w.String()] = true
	}
	if len(different) != 200 {
		t.Errorf("200 seeds made %d worlds", len(different))
	}
}

// Each kind of event and nature of nodes comes often enough in the worlds of make test
// to be a test of anything.
func TestWorldsHaveAllKinds(t *testing.T) {
	count := map[string]int{}
	for seed := range uint64(200) {
		w := worlds.Generate(seed)
		for _, g := range w.Groups {
			count[string(g.Nodes)]++
		}
		for _, e := range w.Events {
			count[string(e.Kind)]++
			if e.At+e.For > w.Storm {
				t.Errorf("seed %d: %+v is not over after %s", seed, e, w.Storm)
			}
		}
	}
	for _, k := range slices.Concat(worlds.AllKinds(), worlds.AllNatures()) {
		if count[k] < 10 {
			t.Errorf("%q comes %d times in 200 worlds", k, count[k])
		}
	}
}

// What fails because of one event, one class and one group is shrunk to these.
func TestShrink(t *testing.T) {
	var w worlds.World
	for seed := uint64(0); len(w.Events) < 8 || len(w.Classes) < 3 || len(w.Groups) < 3; seed++ {
		w = worlds.Generate(seed)
	}
	w.Events[5] = worlds.Event{At: 20 * time.Minute, Kind: worlds.Scale, Class: w.Classes[1].Name, N: 4}
	tried := 0
	fails := func(w worlds.World) bool {
		tried++
		return slices.ContainsFunc(w.Events, func(e worlds.Event) bool { return e.Kind == worlds.Scale && e.N == 4 && e.At == 20*time.Minute })
	}
	if got := worlds.Shrink(w, 1000, fails); len(got.Events) != 1 || len(got.Classes) != 1 || len(got.Groups) > 1+len(tolerated(got)) || !fails(got) {
		t.Errorf("shrunk to\n%s", got)
	}
	tried = 0
	if worlds.Shrink(w, 3, fails); tried > 3 {
		t.Errorf("%d plays, want at most 3", tried)
	}
}

func tolerated(w worlds.World) (groups []string) {
	for _, c := range w.Classes {
		if c.Group != "" {
			groups = append(groups, c.Group)
		}
	}
	return groups
}
