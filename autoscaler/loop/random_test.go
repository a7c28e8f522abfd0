package loop_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/joinery/joinery/lab/worlds"
)

var (
	seeds = flag.Int("seeds", 20, "how many worlds TestRandomWorlds lives through")
	seed  = flag.Int64("seed", -1, "the one world that TestRandomWorlds lives through, with all that happens in it")
	// Making a world smaller takes a minute.
	smallest = flag.Bool("smallest", true, "whether TestRandomWorlds looks for a smaller world that fails alike")
)

// shrinkTries bounds the worlds that are played to make one smaller that fails.
const shrinkTries = 200

// TestRandomWorlds lives through worlds that are made at random, in which nodes are not
// what was promised, people and AWS do as they like, and leaders die. What no world may
// show are the invariants of watch_test.go. One that shows it is made smaller and told.
func TestRandomWorlds(t *testing.T) {
	first, last := 0, *seeds-1
	if *seed >= 0 {
		first, last = int(*seed), int(*seed)
	}
	for n := first; n <= last; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := worlds.Generate(uint64(n))
			if *seed >= 0 {
				t.Log(w)
			}
			seen := lived(t, w)
			for _, v := range seen {
				t.Errorf("%s: %s", v.invariant, v.text)
			}
			if len(seen) > 0 {
				tell(t, w, seen[0].invariant)
			}
		})
	}
}

// tell says how to play a world again, and the smallest one that shows the same.
func tell(t *testing.T, w worlds.World, invariant string) {
	t.Helper()
	t.Logf("again: go test ./autoscaler/loop -run TestRandomWorlds -seed %d", w.Seed)
	if !*smallest {
		return
	}
	var shown violation
	small := worlds.Shrink(w, shrinkTries, func(w worlds.World) bool {
		for _, v := range lived(t, w) {
			if v.invariant == invariant {
				shown = v
				return true
			}
		}
		return false
	})
	t.Logf("the smallest that shows it:\n%s%s: %s", small, shown.invariant, shown.text)
}

// lived plays a world in a bubble of its own.
func lived(t *testing.T, w worlds.World) (seen []violation) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { seen = live(t, w) })
	return seen
}
