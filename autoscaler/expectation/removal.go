package expectation

import (
	"fmt"
	"slices"
	"time"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// undoneWithin is how soon after a node has gone a purchase for the pods that left it
// counts as undoing its removal. It is the time for which a group that has grown keeps
// its nodes.
const undoneWithin = 10 * time.Minute

// Removal is a node that a plan takes out because its pods fit elsewhere.
type Removal struct {
	Node string `json:"node"`
	// At is when that was decided, and later when the node was last seen leaving.
	At time.Time `json:"at"`
	// Moved: subject of the pods that have to move -> how many pods of it the cluster had
	// in all.
	Moved map[Subject]int `json:"moved"`
}

// undone is what became of removals that moved pods of one subject.
type undone struct {
	// Times counts the removals that a purchase followed.
	Times int       `json:"times"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
	Cause string    `json:"cause"`
}

// RecordRemoval accounts for a removal that moves pods. Its forecast is that they find a
// place without a purchase.
func (l *Ledger) RecordRemoval(r Removal) {
	l.removals = slices.DeleteFunc(l.removals, func(o Removal) bool { return o.Node == r.Node })
	l.removals = append(l.removals, r)
}

// Moving reports whether a purchase now can undo a removal: Launch.Alive is asked then.
func (l *Ledger) Moving() bool { return len(l.removals) > 0 }

// Stays returns why a node with pods of the subject is not drained at now; empty when it
// may be:
//   - a removal moved pods of the subject, and within ten minutes a node was bought for
//     such pods, although there were no more of them than before.
//
// It holds for 30 minutes after the first time, then for 2 and for 6 hours.
func (l *Ledger) Stays(subject Subject, now time.Time) string {
	u := l.undone[subject]
	if u == nil || !now.Before(u.Until) {
		return ""
	}
	return fmt.Sprintf("%s (not moved before %s)", u.Cause, u.Until.UTC().Format(time.RFC3339))
}

// MayStay reports whether Stays says something of any subject.
func (l *Ledger) MayStay() bool { return len(l.undone) > 0 }

// undo accounts for the removals that a launch undoes.
func (l *Ledger) undo(launch *Launch) {
	for _, n := range launch.Nodes {
		for _, pod := range n.Pods {
			for _, r := range l.removals {
				had, moved := r.Moved[pod.Subject]
				if moved && launch.Alive[pod.Subject] <= had && launch.At.Sub(r.At) <= undoneWithin {
					l.stay(pod.Subject, launch.At, fmt.Sprintf("a pod like it left node %s, and group %s had to grow for it at %s",
						r.Node, launch.Group, launch.At.UTC().Format(time.RFC3339)))
				}
			}
		}
	}
}

// stay pauses removals for a subject. What is undone during the pause was removed before
// it.
func (l *Ledger) stay(subject Subject, now time.Time, cause string) {
	u := l.undone[subject]
	if u == nil {
		u = &undone{}
		l.undone[subject] = u
	}
	if now.Before(u.Until) {
		return
	}
	u.Until = now.Add(refusals[min(u.Times, len(refusals)-1)])
	u.Times++
	u.At, u.Cause = now, cause
}

// removed follows the nodes that leave, and forgets the removals that nothing can undo
// any more: that were taken back, and that are long over.
func (j *judgement) removed() {
	j.l.removals = slices.DeleteFunc(j.l.removals, func(r Removal) bool { return j.now.Sub(r.At) > undoneWithin })
	for i := range j.l.removals {
		r := &j.l.removals[i]
		if st := j.s.Node(r.Node); st != nil && st.Leaving() {
			r.At = j.now
		}
	}
}

// Alive counts the pods of each subject that the cluster has and that are not
// terminating.
func Alive(s *cluster.Snapshot) map[Subject]int {
	subjects, out := map[*cluster.Class]Subject{}, map[Subject]int{}
	count := func(p cluster.Pod) {
		if p.DeletionTimestamp != nil {
			return
		}
		class := s.WithVolumes(p)
		if _, ok := subjects[class]; !ok {
			subjects[class] = SubjectOf(class)
		}
		out[subjects[class]]++
	}
	for _, n := range s.Nodes() {
		for _, p := range n.Residents {
			count(p)
		}
	}
	for _, p := range s.Pending() {
		count(p)
	}
	return out
}
