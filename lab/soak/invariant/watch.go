package invariant

import (
	"fmt"
	"slices"
	"time"
)

// Invariant is one thing that must hold.
type Invariant struct {
	Name string
	// Within is for how long it may be broken in one place; 0: never.
	Within time.Duration
	// Broken returns where it is broken, each place by a name that stays the same for
	// as long as it is, with what is seen there.
	Broken func(*Watch, *Snapshot) []Finding
}

// Finding is one place in which an invariant is broken.
type Finding struct{ Place, Seen string }

func finding(place, format string, args ...any) Finding {
	return Finding{place, fmt.Sprintf(format, args...)}
}

// Violation is an invariant that was broken for longer than it may be.
type Violation struct {
	Invariant string
	Finding
	At    time.Time
	Since time.Duration
}

// String says all of it.
func (v Violation) String() string {
	return fmt.Sprintf("%s: %s: %s (for %.0f s)", v.Invariant, v.Place, v.Seen, v.Since.Seconds())
}

// Watch looks at one snapshot after the other.
type Watch struct {
	Terms
	// Longest is the longest time for which each invariant was broken in one place.
	Longest map[string]time.Duration

	since    map[[2]string]time.Time // invariant and place -> since when it is broken
	told     map[[2]string]bool
	previous *Snapshot
	names    map[string]string    // private DNS name -> an instance that has or had it
	launched map[string]time.Time // instance of a group -> when it was first seen
}

// NewWatch returns a Watch that has seen nothing.
func NewWatch(t Terms) *Watch {
	return &Watch{
		Terms: t, Longest: map[string]time.Duration{}, since: map[[2]string]time.Time{}, told: map[[2]string]bool{},
		names: map[string]string{}, launched: map[string]time.Time{},
	}
}

// See judges a snapshot that is younger than all before. Each violation is returned
// once for as long as it lasts.
func (w *Watch) See(s *Snapshot) (all []Violation) {
	for _, i := range s.Instances {
		w.names[i.PrivateDNSName] = i.ID
		if _, seen := w.launched[i.ID]; !seen && i.Group != "" {
			w.launched[i.ID] = s.At
		}
	}
	for _, i := range All {
		all = append(all, w.judge(i, s)...)
	}
	w.previous = s
	return all
}

func (w *Watch) judge(i Invariant, s *Snapshot) (all []Violation) {
	if s.API != nil && i.Name != apiAnswers && i.Within > 0 {
		return nil // what was broken stays so until the API server is asked again
	}
	found := i.Broken(w, s)
	for key := range w.since {
		if key[0] == i.Name && !slices.ContainsFunc(found, func(f Finding) bool { return f.Place == key[1] }) {
			delete(w.since, key)
			delete(w.told, key)
		}
	}
	for _, f := range found {
		key := [2]string{i.Name, f.Place}
		if _, before := w.since[key]; !before {
			w.since[key] = s.At
		}
		lasted := s.At.Sub(w.since[key])
		w.Longest[i.Name] = max(w.Longest[i.Name], lasted)
		if (i.Within == 0 || lasted > i.Within) && !w.told[key] {
			w.told[key] = true
			all = append(all, Violation{Invariant: i.Name, Finding: f, At: s.At, Since: lasted})
		}
	}
	return all
}
