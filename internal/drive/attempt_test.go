package drive_test

import (
	"testing"
	"time"

	"github.com/joinery/joinery/internal/drive"
)

// A pause never shrinks, overflows or exceeds its bound, however often something failed.
func TestPausesGrowToTheirBound(t *testing.T) {
	for _, b := range []drive.Backoff{{First: time.Second, Last: time.Minute}, {First: 3 * time.Hour, Last: 3 * time.Hour}, {First: time.Nanosecond, Last: 1<<63 - 1}, {First: 200 * time.Millisecond, Last: 10 * time.Second}} {
		before := b.First
		for n := range 200 {
			got := b.Pause(n)
			if got < before || got > b.Last || n == 0 && got != b.First {
				t.Fatalf("%+v: %s after %d failures, %s before", b, got, n, before)
			}
			before = got
		}
		if before != b.Last {
			t.Errorf("%+v: ends at %s", b, before)
		}
	}
}
