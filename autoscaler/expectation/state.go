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

// Bounds of what is written down, far below the 1 MiB of an object: of more, the
// oldest are left out, and braked in this process alone.
const (
	mostPromises = 500
	mostPods     = 2000 // of all promises
	mostAccounts = 500  // of subjects, and of pods
	mostMet      = 1000
)

// state is the account as it is written down.
type state struct {
	Promises []*promise             `json:"promises,omitempty"`
	Places   []placed               `json:"places,omitempty"`
	Subjects map[Subject]*account   `json:"subjects,omitempty"`
	Pods     map[types.UID]*account `json:"pods,omitempty"`
	Met      map[string]time.Time   `json:"met,omitempty"`
	Owing    map[string]owing       `json:"owing,omitempty"`
	Failed   map[string]time.Time   `json:"failed,omitempty"`
}

type placed struct {
	Place
	pause
}

// State writes the account down, the same way for the same account.
func (l *Ledger) State() ([]byte, error) {
	s := state{
		Promises: l.newest(), Subjects: newestAccounts(l.subjects), Pods: newestAccounts(l.pods),
		Met: newestTimes(l.met), Owing: l.owing, Failed: l.failed,
	}
	for at, p := range l.places {
		s.Places = append(s.Places, placed{at, *p})
	}
	slices.SortFunc(s.Places, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Version, b.Version))
	})
	return json.Marshal(s)
}

// newest are the promises that fit the bounds, with as many of their pods.
func (l *Ledger) newest() []*promise {
	kept, pods := slices.Clone(l.open), 0
	kept = kept[max(0, len(kept)-mostPromises):]
	for i := len(kept) - 1; i >= 0; i-- {
		if left := mostPods - pods; len(kept[i].Pods) > left {
			p := *kept[i]
			p.Pods = p.Pods[:left]
			kept[i] = &p
		}
		pods += len(kept[i].Pods)
	}
	return kept
}

func newestAccounts[K cmp.Ordered](all map[K]*account) map[K]*account {
	if len(all) <= mostAccounts {
		return all
	}
	keys := slices.SortedFunc(maps.Keys(all), func(a, b K) int {
		return cmp.Or(all[b].Failed.Compare(all[a].Failed), cmp.Compare(a, b))
	})
	out := make(map[K]*account, mostAccounts)
	for _, k := range keys[:mostAccounts] {
		out[k] = all[k]
	}
	return out
}

func newestTimes(all map[string]time.Time) map[string]time.Time {
	if len(all) <= mostMet {
		return all
	}
	keys := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return cmp.Or(all[b].Compare(all[a]), cmp.Compare(a, b)) })
	out := make(map[string]time.Time, mostMet)
	for _, k := range keys[:mostMet] {
		out[k] = all[k]
	}
	return out
}

// Restore reads what State wrote into an empty Ledger. On an error the Ledger is as it
// was.
func (l *Ledger) Restore(text []byte) error {
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read expectations: %w", err)
	}
	l.open = slices.DeleteFunc(s.Promises, func(p *promise) bool { return p == nil || p.At.IsZero() })
	for i := range s.Places {
		l.places[s.Places[i].Place] = &s.Places[i].pause
	}
	restored(l.subjects, s.Subjects)
	restored(l.pods, s.Pods)
	maps.Copy(l.met, s.Met)
	maps.Copy(l.owing, s.Owing)
	maps.Copy(l.failed, s.Failed)
	for _, p := range l.open {
		if p.holds() {
			l.hold(p)
		}
	}
	return nil
}

func restored[K comparable](into, from map[K]*account) {
	for k, a := range from {
		if a != nil {
			into[k] = a
		}
	}
}
