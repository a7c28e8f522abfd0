package bundle

import (
	"sync"
	"time"
)

// settling is how long SSM may go on showing what was before a write. AWS gives
// no bound; what is older after this time was made anew, with versions that
// begin at 1 again.
const settling = 30 * time.Second

// Pauses between two looks for what was written.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = time.Second
)

// lastWrite is the version that was last written here.
type lastWrite struct {
	mu      sync.Mutex // guards what follows
	version int64
	at      time.Time
}

func (l *lastWrite) note(version int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.version, l.at = version, at
}

// least is the version that the parameter has at least, whatever SSM shows so
// soon after a write; 0 when none was written of late.
func (l *lastWrite) least(now time.Time) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.at) > settling {
		return 0
	}
	return l.version
}
