// Package explain keeps the last decisions of the autoscaler loop with their
// reasons, those to do nothing among them, and shows them as JSON.
package explain

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// Decision is one round of the loop.
type Decision struct {
	At time.Time `json:"at"`
	// Milliseconds is how long the round took, AWS calls included.
	Milliseconds int64 `json:"milliseconds"`
	// Wake says what started the round.
	Wake string `json:"wake"`
	// Refused says why the loop did nothing at all; empty when it did not refuse.
	Refused string `json:"refused,omitempty"`
	// Pending is how many pods were unschedulable.
	Pending int       `json:"pending"`
	Groups  []Group   `json:"groups,omitempty"`
	Skipped []Subject `json:"skippedGroups,omitempty"`
	// Excluded are the Nodes that are neither bound to an instance nor adopted.
	Excluded []Subject `json:"excludedNodes,omitempty"`
	// Judged are launches that came to nothing, by group.
	Judged    []Subject  `json:"judgedLaunches,omitempty"`
	Increases []Increase `json:"increases,omitempty"`
	Waiting   []Subject  `json:"waitingPods,omitempty"`
	Unhelped  []Subject  `json:"unhelpedPods,omitempty"`
	Removals  []Subject  `json:"removals,omitempty"`
	Needed    []Subject  `json:"neededNodes,omitempty"`
	// Lost are the nodes whose kubelet is silent, and what keeps them. Brake says why
	// none is removed for that: too many are.
	Lost  []Subject `json:"lostNodes,omitempty"`
	Brake string    `json:"brake,omitempty"`
	// Distrusted are the nodes where the scheduler refuses pods that should fit.
	Distrusted []Subject `json:"distrusted,omitempty"`
	Errors     []string  `json:"errors,omitempty"`
}

// Group is how a group looked.
type Group struct {
	Name    string `json:"name"`
	Min     int    `json:"min"`
	Desired int    `json:"desired"`
	Max     int    `json:"max"`
	// Blocked says why the group cannot be grown; empty when it can.
	Blocked string `json:"blocked,omitempty"`
	// Refresh tells of the group's instance refresh under way; empty for none.
	Refresh string `json:"refresh,omitempty"`
}

// Increase is a group that was grown, or was not because of Error.
type Increase struct {
	Group  string   `json:"group"`
	From   int      `json:"from"`
	To     int      `json:"to"`
	Pods   []string `json:"pods"`
	Reason string   `json:"reason,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// Subject is a pod, node or group and what is said about it.
type Subject struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Ring keeps the newest decisions. It is safe for concurrent use.
type Ring struct {
	mu   sync.Mutex // guards what follows
	kept []Decision // a circle once it is full
	next int        // where the next decision goes
}

// NewRing returns a Ring that keeps size decisions, at least one.
func NewRing(size int) *Ring {
	return &Ring{kept: make([]Decision, 0, max(size, 1))}
}

// Add keeps a decision in place of the oldest one. The ring owns its slices
// from then on.
func (r *Ring) Add(d Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) < cap(r.kept) {
		r.kept = append(r.kept, d)
		return
	}
	r.kept[r.next] = d
	r.next = (r.next + 1) % len(r.kept)
}

// Decisions returns what is kept, newest first.
func (r *Ring) Decisions() []Decision {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.kept)
	out := make([]Decision, 0, n)
	for i := range n {
		out = append(out, r.kept[(r.next+2*n-1-i)%n])
	}
	return out
}

// ServeHTTP answers with Decisions as a JSON array.
func (r *Ring) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	// The only error left here is a reader who went away.
	_ = enc.Encode(r.Decisions())
}
