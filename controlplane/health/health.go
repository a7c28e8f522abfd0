// Package health answers whether a controller is alive and whether it is ready:
// one line for each thing that was looked at, and 503 when one of them fails. Looking
// is apart from answering: a Monitor looks every few seconds, and however often it is
// asked, it asks no one else.
package health

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// timeout bounds all checks of a look together.
	timeout = 3 * time.Second
	// Every is how often a Monitor looks.
	Every = 5 * time.Second
	// stale is after how long without a look its result counts for nothing: whatever
	// keeps a Monitor from looking is a failure.
	stale = 6 * Every
)

// Check is one thing to look at. Its lines are read by people with no right to
// secrets: they must hold none.
type Check struct {
	// Name of what is looked at.
	Name string
	// Look returns what was found, which may be empty, or why it is not well.
	Look func(context.Context) (found string, err error)
}

// Monitor looks at checks and answers with what was found last. It is safe for
// concurrent use.
type Monitor struct {
	checks []Check

	mu    sync.Mutex // guards what follows
	at    time.Time  // of the last look; zero before the first
	lines []string
	well  bool
}

// NewMonitor returns a Monitor that has not looked yet; until then it is not well.
func NewMonitor(checks ...Check) *Monitor { return &Monitor{checks: checks} }

// Run looks at once and every few seconds, until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for ctx.Err() == nil {
		m.Look(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Look looks at all checks now, at the same time.
func (m *Monitor) Look(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	lines, well := look(bounded, m.checks)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at, m.lines, m.well = time.Now(), lines, well
}

// ServeHTTP answers with the last look, in the order of the checks.
func (m *Monitor) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	lines, well := m.last()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}

func (m *Monitor) last() (lines []string, well bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch age := time.Since(m.at); {
	case m.at.IsZero():
		return []string{"[-] probe: no look yet", "failed"}, false
	case age > stale:
		return []string{fmt.Sprintf("[-] probe: the last look was %s ago", age.Round(time.Second)), "failed"}, false
	}
	return m.lines, m.well
}

func look(ctx context.Context, checks []Check) (lines []string, well bool) {
	found, errs := make([]string, len(checks)), make([]error, len(checks))
	var looking sync.WaitGroup
	for i, c := range checks {
		looking.Go(func() { found[i], errs[i] = c.Look(ctx) })
	}
	looking.Wait()
	well = true
	for i, c := range checks {
		if errs[i] != nil {
			well = false
			lines = append(lines, fmt.Sprintf("[-] %s: %v", c.Name, errs[i]))
			continue
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("[+] %s: %s", c.Name, found[i]), ": "))
	}
	if well {
		return append(lines, "ok"), true
	}
	return append(lines, "failed"), false
}
