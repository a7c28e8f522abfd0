package bubble_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/lab/bubble"
)

// The others write without a lock, so that the race detector checks this too.
func TestSleepSeesWhatHappensAtTheSameInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done [100]bool
		for i := range done {
			go func() {
				time.Sleep(time.Minute)
				done[i] = true
			}()
		}
		began := time.Now()
		bubble.Sleep(time.Minute)
		for i, ok := range done {
			if !ok {
				t.Errorf("goroutine %d has not run", i)
			}
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("slept for %s, want 1m0s", took)
		}
	})
}
