// Package health answers whether a controller is alive and whether it is ready:
// one line for each thing that was looked at, and 503 when one of them fails.
package health

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// patience bounds all checks of an answer together.
const patience = 3 * time.Second

// Check is one thing to look at. Its lines are read by people with no right to
// secrets: they must hold none.
type Check struct {
	// Name of what is looked at.
	Name string
	// Look returns what was found, which may be empty, or why it is not well.
	Look func(context.Context) (found string, err error)
}

// Handler looks at all checks, side by side, and answers in their order.
func Handler(checks ...Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		lines, well := look(ctx, checks)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if !well {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, strings.Join(lines, "\n"))
	})
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
