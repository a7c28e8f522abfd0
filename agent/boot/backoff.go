package boot

import (
	"errors"
	"fmt"
	"time"
)

// Backoff says how long to wait after a failure: a random time up to
// Base×2^failures, and up to Cap ("Exponential Backoff And Jitter", full
// jitter), so that a hundred instances that boot together do not ask together.
type Backoff struct {
	Base, Cap time.Duration
}

// The pace of retries. Slow is for what only an operator or another part of
// the cluster can cure.
var (
	usual = Backoff{Base: 500 * time.Millisecond, Cap: 30 * time.Second}
	slow  = Backoff{Base: 10 * time.Second, Cap: 2 * time.Minute}
)

// floor keeps an unlucky draw from becoming a busy loop.
const floor = 100 * time.Millisecond

// Delay returns how long to wait after so many failures in a row, with a random
// number from 0 up to 1.
func (b Backoff) Delay(failures int, random float64) time.Duration {
	limit := b.Cap
	if n := failures; n < 20 {
		limit = min(b.Cap, b.Base<<n)
	}
	return max(floor, time.Duration(random*float64(limit)))
}

// WaitError says that a stage waits for something that is expected to come, so
// nothing is wrong.
type WaitError struct {
	// For says what is waited for.
	For string
	// Every is how often to look.
	Every time.Duration
}

// Error says what is waited for.
func (e *WaitError) Error() string { return "waiting for " + e.For }

// Waits returns Every.
func (e *WaitError) Waits() time.Duration { return e.Every }

// waits reports whether err is about something that is expected to come, and how
// often to look: a *WaitError, or an error of another package with its method.
func waits(err error) (time.Duration, bool) {
	var wait interface{ Waits() time.Duration }
	if !errors.As(err, &wait) {
		return 0, false
	}
	return wait.Waits(), true
}

// ConfigError says that the operator has to change something.
type ConfigError struct{ Err error }

// Error says what is wrong.
func (e *ConfigError) Error() string { return fmt.Sprintf("node configuration: %v", e.Err) }

// Unwrap returns what is wrong.
func (e *ConfigError) Unwrap() error { return e.Err }

// Slow says that to try again soon is of no use.
func (e *ConfigError) Slow() bool { return true }

// delay returns how long to wait after err.
func delay(err error, failures int, random float64) time.Duration {
	if every, ok := waits(err); ok {
		return every
	}
	var hint interface{ Slow() bool }
	if errors.As(err, &hint) && hint.Slow() {
		return slow.Delay(failures, random)
	}
	return usual.Delay(failures, random)
}
