package distrust

import "time"

const (
	// Rounds and MinDuration are for how many rounds, and how long at least, plans must
	// have had a place for a pod: several times the scheduler's longest back-off of
	// ten seconds.
	Rounds, MinDuration = 3, 30 * time.Second
	// Flush is after how long the scheduler has looked at every pod again, whatever
	// happened: its queue does so after five minutes.
	Flush = 6 * time.Minute
	// Restless is after how long pods that come and go no longer count as a change of
	// their node: one that is never at rest would be trusted for ever.
	Restless = 15 * time.Minute
)

// Sighting is what a round saw of a class of pods that are Unschedulable.
type Sighting struct {
	// Class is the key of the class.
	Class string
	// Refused is when the scheduler last said so of one of the pods.
	Refused time.Time
	// Fits says that the plan has a place for one of them on a node that is there.
	Fits bool
}

// Node is a node that is there.
type Node struct {
	Name string
	// Created is when it came. Changed is when labels, taints, resources, drivers or
	// volumes of it last changed, PodsChanged when its pods did.
	Created, Changed, PodsChanged time.Time
}

// Memory is what is remembered from round to round. Its zero value is ready for use.
type Memory struct {
	doubts map[string]*doubt // class -> what is held against it
}

// doubt is a class for which plans have a place. It is only one from began on.
type doubt struct {
	since, began, refused time.Time
	rounds                int
}

// Note takes in what the round at now saw, and returns the classes that are doubted
// from now on. A class that was not seen is forgotten: its pods run, are gone, or are
// others now.
func (m *Memory) Note(now time.Time, seen []Sighting) (begun []string) {
	next := make(map[string]*doubt, len(seen))
	for _, s := range seen {
		d := m.doubts[s.Class]
		switch {
		case d != nil && !d.began.IsZero():
		case !s.Fits:
			continue
		case d == nil:
			d = &doubt{since: now}
		}
		d.rounds++
		if s.Refused.After(d.refused) {
			d.refused = s.Refused
		}
		if d.began.IsZero() && d.rounds >= Rounds && now.Sub(d.since) >= MinDuration {
			d.began = now
			begun = append(begun, s.Class)
		}
		next[s.Class] = d
	}
	m.doubts = next
	return begun
}

// Distrusted gives for each doubted class the nodes that are no place for it at now.
func (m *Memory) Distrusted(now time.Time, nodes []Node) map[string][]string {
	var out map[string][]string
	for class, d := range m.doubts {
		if d.began.IsZero() {
			continue
		}
		for _, n := range nodes {
			if !d.holds(now, n) {
				continue
			}
			if out == nil {
				out = map[string][]string{}
			}
			out[class] = append(out[class], n.Name)
		}
	}
	return out
}

// holds reports whether the scheduler has refused the class on the node as it is now.
func (d *doubt) holds(now time.Time, n Node) bool {
	// Without a time of the refusal nothing is known about it.
	if !n.Created.Before(d.began) || d.refused.IsZero() {
		return false
	}
	changed := n.Changed
	if n.PodsChanged.After(changed) && now.Sub(d.since) < Restless {
		changed = n.PodsChanged
	}
	return changed.Before(d.refused) || now.Sub(changed) >= Flush
}
