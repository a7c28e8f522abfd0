package nodes

import "time"

// toldFor is how long EC2 is asked about an instance that is said to end: what it shows
// may be older. mostTold bounds how many are remembered, as anyone who may send to a queue
// can name instances.
const (
	toldFor  = 15 * time.Second
	mostTold = 1000
)

// Ended makes the janitor look at once, and ask EC2 about the Nodes of these instances.
// That they end is a claim. It never blocks.
func (j *Janitor) Ended(instances ...string) {
	j.mu.Lock()
	for _, id := range instances {
		if len(j.told) < mostTold {
			j.told[id] = time.Now().Add(toldFor)
		}
	}
	j.mu.Unlock()
	j.wake.Now()
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
