// Package progress knows when each service of the leader last got something
// done, so that a controller that is alive and does nothing is seen.
package progress

import (
	"context"
	"sync"
	"time"

	"github.com/joinery/joinery/controlplane/leader"
)

// steady is how long a service must have run without ending to count as one
// that works.
const steady = time.Minute

// Board holds what is known of all services. It is safe for concurrent use.
type Board struct {
	mu       sync.Mutex
	services []*service
}

// service is guarded by its board's mutex.
type service struct {
	name     string
	patience time.Duration
	rounds   bool // it says itself when a round succeeded
	running  bool
	began    time.Time // of this run
	last     time.Time // of progress; zero while this master does not lead
}

// Standing is how a service stands.
type Standing struct {
	// Name of the service.
	Name string
	// Idle says that it does not run because this master does not lead.
	Idle bool
	// Since is how long it has made no progress; 0 if Idle.
	Since time.Duration
	// Late says that this is longer than it may take.
	Late bool
}

// Watch returns s, watched. It is late when it ends again and again for longer
// than patience; a minute without an end is progress.
func (b *Board) Watch(s leader.Service, patience time.Duration) leader.Service {
	return b.add(s, patience, false)
}

// WatchRounds returns s, watched. It is late when it has not called Done for
// longer than patience, however alive it is.
func (b *Board) WatchRounds(s leader.Service, patience time.Duration) leader.Service {
	return b.add(s, patience, true)
}

func (b *Board) add(s leader.Service, patience time.Duration, rounds bool) leader.Service {
	w := &service{name: s.Name, patience: patience, rounds: rounds}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.services = append(b.services, w)
	return leader.Service{Name: s.Name, Run: func(ctx context.Context) error {
		b.begin(w)
		err := s.Run(ctx)
		b.end(w, ctx.Err() != nil)
		return err
	}}
}

// Done says that a round of the service of that name succeeded. A name that is
// not watched, or does not run, is no error.
func (b *Board) Done(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.services {
		if s.name == name && s.running {
			s.last = time.Now()
		}
	}
}

// begin starts the clock of a service, but not anew when it is run again after
// an early end.
func (b *Board) begin(s *service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.running, s.began = true, time.Now()
	if s.last.IsZero() {
		s.last = s.began
	}
}

func (b *Board) end(s *service, asked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.last = s.progress(time.Now())
	s.running = false
	if asked {
		s.last = time.Time{}
	}
}

// progress is when s last made some.
func (s *service) progress(now time.Time) time.Time {
	if s.running && !s.rounds && now.Sub(s.began) >= steady {
		return now
	}
	return s.last
}

// Standings returns how every service stands at now, in the order in which they
// were added.
func (b *Board) Standings(now time.Time) []Standing {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Standing, 0, len(b.services))
	for _, s := range b.services {
		if s.last.IsZero() {
			out = append(out, Standing{Name: s.name, Idle: true})
			continue
		}
		since := now.Sub(s.progress(now))
		out = append(out, Standing{Name: s.name, Since: since, Late: since > s.patience})
	}
	return out
}
