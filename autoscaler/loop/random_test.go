package loop_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/joinery/joinery/lab/worlds"
)

var (
	seeds = flag.Int("seeds", 200, "how many worlds TestRandomWorlds lives through")
	seed  = flag.Int64("seed", -1, "the one world that TestRandomWorlds lives through")
)

// TestRandomWorlds lives through worlds that are made at random.
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
			for _, v := range lived(t, w) {
				t.Errorf("%s: %s", v.invariant, v.text)
			}
		})
	}
}

func lived(t *testing.T, w worlds.World) (seen []violation) {
	synctest.Test(t, func(t *testing.T) { seen = live(t, w) })
	return seen
}
