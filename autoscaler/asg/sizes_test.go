package asg_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// AWS may answer with a size from before a write; the test plays that by setting
// the size back. Nothing is written downwards for it.
func TestRaiseNeverFollowsAnOldAnswerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w awssim.World
		defer w.Close()
		c := newClient(t, &w, nil)
		workers(t, &w, 0, 9, 2)
		raise := func(from, to int, want asg.Raised) {
			t.Helper()
			if got, err := c.Raise(t.Context(), "workers", from, to); err != nil || got != want {
				t.Errorf("raise %d to %d: %+v %v, want %+v", from, to, got, err, want)
			}
		}
		raise(2, 6, asg.Raised{From: 2, To: 6, Max: 9})
		workers(t, &w, 0, 9, 2)
		raise(6, 7, asg.Raised{From: 6, To: 7, Max: 9})
		workers(t, &w, 0, 9, 2)
		raise(2, 3, asg.Raised{From: 7, To: 7, Max: 9})
		if err := c.Terminate(t.Context(), "workers", got(t, c, "workers").Instances[0].ID); err != nil {
			t.Fatal(err)
		}
		raise(7, 8, asg.Raised{From: 6, To: 7, Max: 9})
		bubble.Sleep(time.Minute)
		workers(t, &w, 0, 9, 2)
		raise(2, 3, asg.Raised{From: 2, To: 3, Max: 9})
	})
}

// Desired capacity that AWS cannot give keeps no minimum.
func TestOwedCapacityIsNotSpare(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	workers(t, &w, 1, 6, 1)
	w.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{}})
	if _, err := c.Raise(t.Context(), "workers", 1, 3); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Spare(t.Context(), "workers"); err != nil || n != 0 {
		t.Errorf("spare is %d, %v: want 0", n, err)
	}
	if err := c.Terminate(t.Context(), "workers", got(t, c, "workers").Instances[0].ID); !errors.Is(err, asg.ErrAtMin) {
		t.Errorf("the only instance was ended: %v", err)
	}
}
