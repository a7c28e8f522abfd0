package csr

import (
	"maps"
	"slices"
	"time"
)

// expired returns up to most requests that wait in vain, the oldest first: created
// before limit, due, and not eligible to be judged as an instance's own.
func (ls *lanes) expired(limit, now time.Time, most int) []waiting {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var out []waiting
	for _, l := range ls.all {
		for _, w := range l.waiting {
			if !w.created.Before(limit) {
				break
			}
			if !l.eligible(w) && !w.due.After(now) {
				out = append(out, w)
			}
		}
	}
	slices.SortFunc(out, func(a, b waiting) int { return a.created.Compare(b.created) })
	return out[:min(len(out), most)]
}

// census is how many requests wait for what.
type census struct {
	// unclaimed are those of which no instance that may be joining has the name.
	unclaimed int
	// queued are all others.
	queued int
	// youngest is when the last of the unclaimed was created; zero for none.
	youngest time.Time
	// longest is the open lane with the most requests, and lengthOf how many.
	longest  laneKey
	lengthOf int
	// example is the newest request of all that wait.
	example waiting
}

// count takes the census.
func (ls *lanes) count() census {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var c census
	for k, l := range ls.all {
		n := len(l.waiting)
		if n == 0 {
			continue
		}
		last := l.waiting[n-1]
		if last.created.After(c.example.created) {
			c.example = last
		}
		if !l.open {
			c.unclaimed += n
			if last.created.After(c.youngest) {
				c.youngest = last.created
			}
			continue
		}
		c.queued += n
		if n > c.lengthOf {
			c.longest, c.lengthOf = k, n
		}
	}
	return c
}

// newestUnclaimed returns the newest request of up to most claims that no instance
// has.
func (ls *lanes) newestUnclaimed(most int) map[string]waiting {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	newest := map[string]waiting{}
	for k, l := range ls.all {
		if !l.open && len(l.waiting) > 0 {
			newest[k.claim] = l.waiting[len(l.waiting)-1]
		}
	}
	byAge := slices.SortedFunc(maps.Keys(newest), func(a, b string) int { return newest[b].created.Compare(newest[a].created) })
	for _, claim := range byAge[min(len(byAge), most):] {
		delete(newest, claim)
	}
	return newest
}

// claims reports whether a request waits that claims the name.
func (ls *lanes) claims(name string) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.all[laneKey{claim: name}]
	return l != nil && len(l.waiting) > 0
}
