package expectation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// limits bound what is written down: of more, the oldest are left out, and braked in
// this process alone.
type limits struct {
	promises int
	pods     int // of all promises
	accounts int // of subjects, of pods, and of subjects that removals moved
	removals int
	met      int
}

var widest = limits{promises: 500, pods: 2000, accounts: 500, removals: 20, met: 1000}

// half returns limits for about half as much; none of none.
func (m limits) half() limits {
	return limits{promises: m.promises / 2, pods: m.pods / 2, accounts: m.accounts / 2, removals: m.removals / 2, met: m.met / 2}
}

// state is the account as it is written down.
type state struct {
	Promises []*promise             `json:"promises,omitempty"`
	Places   []placed               `json:"places,omitempty"`
	Subjects map[Subject]*account   `json:"subjects,omitempty"`
	Pods     map[types.UID]*account `json:"pods,omitempty"`
	Removals []Removal              `json:"removals,omitempty"`
	Undone   map[Subject]*undone    `json:"undone,omitempty"`
	Met      map[string]time.Time   `json:"met,omitempty"`
	Owing    map[string]owing       `json:"owing,omitempty"`
	Failed   map[string]time.Time   `json:"failed,omitempty"`
}

type placed struct {
	Place
	pause
}

// State writes the account down in most bytes, the same way for the same account. How
// much fits is not known before: causes quote what nodes and AWS say. Only the pauses of
// places are never left out.
func (l *Ledger) State(most int) ([]byte, error) {
	for m := widest; ; m = m.half() {
		if text, err := l.state(m); err != nil || len(text) <= most || m == (limits{}) {
			return text, err
		}
	}
}

func (l *Ledger) state(m limits) ([]byte, error) {
	s := state{
		Promises: l.newestPromises(m),
		Subjects: newest(l.subjects, m.accounts, failedAt), Pods: newest(l.pods, m.accounts, failedAt),
		Removals: l.removals[max(0, len(l.removals)-m.removals):], Undone: newest(l.undone, m.accounts, func(u *undone) time.Time { return u.At }),
		Met: newest(l.met, m.met, func(at time.Time) time.Time { return at }), Owing: l.owing, Failed: l.failed,
	}
	for at, p := range l.places {
		s.Places = append(s.Places, placed{at, *p})
	}
	slices.SortFunc(s.Places, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Version, b.Version))
	})
	return json.Marshal(s)
}

// newestPromises are the promises that fit the bounds, with as many of their pods.
func (l *Ledger) newestPromises(m limits) []*promise {
	kept, pods := slices.Clone(l.open), 0
	kept = kept[max(0, len(kept)-m.promises):]
	for i := len(kept) - 1; i >= 0; i-- {
		if left := m.pods - pods; len(kept[i].Pods) > left {
			p := *kept[i]
			p.Pods = p.Pods[:left]
			kept[i] = &p
		}
		pods += len(kept[i].Pods)
	}
	return kept
}

func failedAt(a *account) time.Time { return a.Failed }

// newest returns the entries that are the newest by their time, at most so many.
func newest[K cmp.Ordered, V any](all map[K]V, most int, at func(V) time.Time) map[K]V {
	if len(all) <= most {
		return all
	}
	keys := slices.SortedFunc(maps.Keys(all), func(a, b K) int {
		return cmp.Or(at(all[b]).Compare(at(all[a])), cmp.Compare(a, b))
	})
	out := make(map[K]V, most)
	for _, k := range keys[:most] {
		out[k] = all[k]
	}
	return out
}

// Restore adds what State wrote. What the Ledger itself has learned meanwhile goes before
// it: a leader that could not read at first has bought nodes by then. On an error the
// Ledger is as it was.
func (l *Ledger) Restore(text []byte) error {
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read expectations: %w", err)
	}
	l.open = append(slices.DeleteFunc(s.Promises, func(p *promise) bool { return p == nil || p.At.IsZero() }), l.open...)
	for i := range s.Places {
		if at := s.Places[i].Place; l.places[at] == nil {
			l.places[at] = &s.Places[i].pause
		}
	}
	maps.DeleteFunc(s.Subjects, func(_ Subject, a *account) bool { return a == nil })
	maps.DeleteFunc(s.Pods, func(_ types.UID, a *account) bool { return a == nil })
	maps.DeleteFunc(s.Undone, func(_ Subject, u *undone) bool { return u == nil })
	l.removals = append(s.Removals, l.removals...)
	add(l.undone, s.Undone)
	add(l.subjects, s.Subjects)
	add(l.pods, s.Pods)
	add(l.met, s.Met)
	add(l.owing, s.Owing)
	add(l.failed, s.Failed)
	for _, p := range l.open { // the newest last: that is what a pod waits for
		if p.holds() {
			l.hold(p)
		}
	}
	return nil
}

// add copies what is not there yet.
func add[K comparable, V any](into, from map[K]V) {
	for k, v := range from {
		if _, ok := into[k]; !ok {
			into[k] = v
		}
	}
}
