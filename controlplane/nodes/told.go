package nodes

import (
	"slices"
	"time"

	"github.com/joinery/joinery/internal/kube"
)

// toldFor is how long EC2 is asked about an instance that is said to end: what it shows
// may be older.
const toldFor = 15 * time.Second

// Ended makes the janitor look at once, and ask EC2 about those of the instances that a
// Node claims to be. It returns them: events tell of every instance of the account. That
// they end is a claim too. It never blocks.
func (j *Janitor) Ended(instances ...string) (known []string) {
	nodes, err := j.deps.Store.AllNodes()
	if err != nil {
		return nil // the next look asks
	}
	for _, n := range nodes {
		if id, ok := kube.InstanceOf(n); ok && slices.Contains(instances, id) {
			known = append(known, id)
		}
	}
	if len(known) == 0 {
		return nil
	}
	j.mu.Lock()
	for _, id := range known {
		j.told[id] = time.Now().Add(toldFor)
	}
	j.mu.Unlock()
	j.wake.Now()
	return known
}

// toldOf returns the instances that are said to end.
func (j *Janitor) toldOf(now time.Time) map[string]bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := map[string]bool{}
	for id, until := range j.told {
		if now.After(until) {
			delete(j.told, id)
		} else {
			out[id] = true
		}
	}
	return out
}
