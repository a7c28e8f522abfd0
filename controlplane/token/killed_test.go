package token_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/bubble"
)

// TestLeaderKilledInRotation kills the leader before and after every call of a
// rotation, and of the round that deletes the old token. The other master
// finishes it: one token is made in all, it is published, and its predecessor
// is deleted in time.
func TestLeaderKilledInRotation(t *testing.T) {
	for _, round := range []struct {
		name  string
		at    time.Duration // since the start, which is on the hour
		calls int           // at least
	}{
		// Facts, Secrets, SSM, two of the Lease, create, read back, the Lease, SSM, write
		// and read back, and the look at the end.
		{"rotate", time.Hour, 15},
		// Facts, Secrets, SSM, two of the Lease, delete.
		{"sweep", 90 * time.Minute, 6},
	} {
		t.Run(round.name, func(t *testing.T) {
			boundaries := rotateKilledAt(t, round.at, 0)
			if boundaries < 2*round.calls {
				t.Fatalf("only %d boundaries of calls", boundaries)
			}
			for n := 1; n <= boundaries; n++ {
				t.Run(fmt.Sprint(n), func(t *testing.T) { rotateKilledAt(t, round.at, n) })
			}
		})
	}
}

// rotateKilledAt has one rotation done by schedule, with the leader killed at
// its nth boundary of a call in the round at that time, and returns how many
// boundaries there were.
func rotateKilledAt(t *testing.T, at time.Duration, n int) (boundaries int) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(uint64(n)+1, 2)
		defer s.close()
		s.options.Jitter = 0
		var published []*v1alpha1.JoinBundle
		s.check = func(*sim) {
			if got, err := s.look(); err != nil {
				t.Errorf("after a write: %v", err)
			} else {
				published = append(published, got.Bundle)
			}
		}
		s.run()
		began := time.Now()
		bubble.Sleep(at - time.Second)
		s.mu.Lock()
		first, passes := s.holder, s.holder.passes
		if n > 0 {
			first.trap = &trap{left: n, spring: func(p *process) { s.endLocked(p, "kill -9") }}
		}
		s.mu.Unlock()
		bubble.Sleep(31 * time.Second) // and not another round
		s.mu.Lock()
		boundaries = first.passes - passes
		s.mu.Unlock()
		bubble.Sleep(recovery)
		s.mu.Lock()
		if killed := first.dead; killed != (n > 0) || killed && s.holder == first {
			t.Errorf("killed: %t, and leads: %t", killed, s.holder == first)
		}
		if s.made != 2 {
			t.Errorf("%d tokens were made: expected that of the start and one more", s.made)
		}
		s.mu.Unlock()

		now, err := s.look()
		if err != nil || len(published) < 2 || now.Bundle.TokenID() == published[0].TokenID() {
			t.Fatalf("published %d times, at last %+v: %v", len(published), now.Bundle, err)
		}
		for i := range published[1:] {
			if newerThan(published[i], published[i+1]) {
				t.Errorf("published %s after %s", published[i+1].IssuedAt, published[i].IssuedAt)
			}
		}
		bubble.Sleep(time.Until(began.Add(time.Hour + s.options.Overlap + 2*recovery)))
		s.mu.Lock()
		defer s.mu.Unlock()
		names, want := slices.Collect(maps.Keys(s.secrets)), []string{"bootstrap-token-" + now.Bundle.TokenID()}
		if !slices.Equal(names, want) || !s.worksLocked(now.Bundle.TokenID(), now.Bundle.Token) {
			t.Errorf("tokens %v: expected %v", names, want)
		}
		if t.Failed() {
			t.Logf("killed at boundary %d:\n%s", n, strings.Join(s.events, "\n"))
		}
	})
	return boundaries
}
