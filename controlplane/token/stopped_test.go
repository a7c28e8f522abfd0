package token_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/bubble"
)

// TestLeaderStoppedInRotation stops the leader before and after every call of a
// rotation, too briefly for the deadline of its round to save it, while its
// successor publishes a newer token; then it goes on where it was. Nothing older
// is published, and no token that an instance read stops to work. That holds
// too when it is told that it leads whenever it asks.
func TestLeaderStoppedInRotation(t *testing.T) {
	boundaries := rotateKilledAt(t, time.Hour, 0)
	for _, deluded := range []bool{false, true} {
		t.Run(fmt.Sprintf("deluded=%t", deluded), func(t *testing.T) {
			for n := 1; n <= boundaries; n++ {
				t.Run(fmt.Sprint(n), func(t *testing.T) { rotateStoppedAt(t, n, deluded) })
			}
		})
	}
}

func rotateStoppedAt(t *testing.T, n int, deluded bool) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(uint64(n)+1, 2)
		defer s.close()
		s.options.Jitter = 0
		var last *v1alpha1.JoinBundle
		s.check = func(*sim) {
			got, err := s.look()
			if err != nil {
				t.Errorf("after a write: %v", err)
				return
			}
			if last != nil && newerThan(last, got.Bundle) {
				t.Errorf("published %s after %s", got.Bundle.IssuedAt, last.IssuedAt)
			}
			last = got.Bundle
		}
		s.run()
		bubble.Sleep(time.Hour - time.Second)
		s.mu.Lock()
		first := s.holder
		first.trap = &trap{left: n, spring: func(p *process) {
			p.deluded = deluded
			s.pauseLocked(p.m, 40*time.Second)
			s.after(30*time.Second, func() { s.holder.rotator.Rotate() })
		}}
		s.mu.Unlock()
		bubble.Sleep(32 * time.Second) // the successor has rotated
		newest, err := s.look()
		if err != nil || s.holderIs(first) {
			t.Fatalf("published %+v, %v", newest.Bundle, err)
		}
		bubble.Sleep(10 * time.Minute)
		now, err := s.look()
		if err != nil || newerThan(newest.Bundle, now.Bundle) {
			t.Errorf("published %+v, %v after %s", now.Bundle, err, newest.Bundle.IssuedAt)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, b := range []*v1alpha1.JoinBundle{newest.Bundle, now.Bundle} {
			if !s.worksLocked(b.TokenID(), b.Token) {
				t.Errorf("token %s does not work", b.TokenID())
			}
		}
		if t.Failed() {
			t.Logf("stopped at boundary %d:\n%s", n, strings.Join(s.events, "\n"))
		}
	})
}

func (s *sim) holderIs(p *process) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holder == p
}
