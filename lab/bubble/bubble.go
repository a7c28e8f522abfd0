// Package bubble lets time pass in a test's bubble of testing/synctest.
package bubble

import (
	"testing/synctest"
	"time"
)

// Sleep waits for d of the bubble's time, and then until every other goroutine of the
// bubble is blocked. Only the goroutine of the test itself may call it.
//
// After time.Sleep alone, a goroutine that is due at the same instant may run before,
// after or during what the test does next: what the test reads is then a data race, and
// what it finds is chance.
func Sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
