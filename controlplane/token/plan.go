// Package token keeps one live bootstrap token published in SSM: it rotates by
// schedule and whenever what is observed calls for it, and deletes tokens that
// nobody can need any more. Plan decides and does no I/O; Rotator executes.
//
// The newest token that exists is the one that is published. So it does not
// matter who made it, nor at which instruction he was interrupted: whoever leads
// comes to the same bundle, and a new token is made only when the newest is no
// good.
package token

import (
	"cmp"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
)

// Reason is why something is published.
type Reason string

// The reasons of a rotation.
const (
	// Start: nothing is published yet.
	Start Reason = "Start"
	// Missing: the published token's Secret is gone. Deleting that Secret is
	// how an operator revokes a token: a new one is published at once.
	Missing Reason = "Missing"
	// NearEnd: too little of the published token's life is left.
	NearEnd Reason = "NearEnd"
	// Scheduled: the schedule says so.
	Scheduled Reason = "Scheduled"
	// Disagree: what is published and what the cluster says are two things.
	Disagree Reason = "Disagree"
	// Behind: a newer token than the published one exists. A rotation was
	// interrupted, or an older bundle was written over a newer one.
	Behind Reason = "Behind"
	// Ahead: the published token claims to be made in the future, further than
	// clocks of masters may differ.
	Ahead Reason = "Ahead"
	// OnDemand: somebody asked for it.
	OnDemand Reason = "OnDemand"
)

// State is what was observed.
type State struct {
	// Tokens are our own, in no order.
	Tokens []Token
	// Foreign are the ids of the ring whose Secrets are not ours.
	Foreign []string
	// Ring are the ids that a new token may have, in the order of their use;
	// those of Join tokens when nil.
	Ring []string
	// Published is the bundle in SSM; nil when there is none.
	Published *v1alpha1.JoinBundle
	// Modified is when it was written, by AWS's clock.
	Modified time.Time
	// Unreadable says why what is published is not a bundle; "" when it is one
	// or when nothing is published.
	Unreadable string
	// Cluster is what the bundle should say about the cluster.
	Cluster bundle.Cluster
	// Requests are the ids of the rotations that were asked for. One for which
	// a token was made is answered.
	Requests []string
}

// Options say how tokens are rotated.
type Options struct {
	// Schedule of the rotations, counted from when the published token was made.
	Schedule cron.Schedule
	// Jitter is how much later than scheduled a rotation may be; see due.
	Jitter time.Duration
	// TTL is a token's life.
	TTL time.Duration
	// Overlap is how long a superseded token is kept for nodes that are booting.
	Overlap time.Duration
	// Recheck is how often SSM and the cluster are compared when nothing happens.
	Recheck time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// maxAhead is how far ahead of ours another master's clock may have been when it
// made a token. AWS refuses requests that are signed with more than 15 minutes
// of error. A token from further ahead would block rotation until then: it is
// replaced by one that is older on paper.
const maxAhead = 10 * time.Minute

// nearEnd is how much life left is too little: a third of the life of t, and in
// any case twice what agents insist on, but never more than half of its life, or
// a short TTL would rotate for ever.
func nearEnd(t Token) time.Duration {
	life := t.Expires.Sub(t.Issued)
	return max(life/3, min(2*v1alpha1.MinBundleLife, life/2))
}

// due is when the schedule asks for the successor of a token that was issued
// then. The jitter follows from the cluster's name and the time, so that it is
// the same for every leader and another for every cluster.
func (o Options) due(cluster string, issued time.Time) time.Time {
	at := o.Schedule.Next(issued)
	if o.Jitter <= 0 {
		return at
	}
	h := fnv.New64a()
	h.Write([]byte(cluster + "\x00" + strconv.FormatInt(at.Unix(), 10)))
	return at.Add(time.Duration(h.Sum64() % uint64(o.Jitter)))
}

// Decision is what to do now.
type Decision struct {
	// Rotate says that something is published, for Reason: Reuse, or a new
	// token when that is nil.
	Rotate bool
	Reason Reason
	// Detail says in a few words what was seen.
	Detail string
	// Reuse is a token that exists and is published.
	Reuse *Token
	// ID, Issued and Expires are for a new token. ID is empty when none is free.
	// Issued is the time, or a second after the newest token if that is later: of
	// two tokens the one that was made last is the newer one although the clocks of
	// control-plane nodes differ.
	ID              string
	Issued, Expires time.Time
	// Requests are those that a new token answers.
	Requests []string
	// Delete lists tokens that are no longer needed, oldest first.
	Delete []Token
	// Next is when to look again if nothing happens.
	Next time.Time
}

// Plan decides by what was observed at now.
func Plan(s State, now time.Time, o Options) Decision {
	v := look(s, now)
	d := Decision{Next: now.Add(o.Recheck)}
	why, detail := v.trouble(now, o)
	open := v.open()
	switch {
	case len(open) > 0:
		d.make(v, now, o, OnDemand, "a rotation was requested", open)
	case v.best == nil:
		d.make(v, now, o, why, detail, nil)
	case !now.Before(o.due(s.Cluster.Name, v.best.Issued)):
		d.make(v, now, o, cmp.Or(why, Scheduled), cmp.Or(detail, "the schedule is due"), nil)
	case v.behind() && (why == "" || why == Scheduled):
		d.reuse(v.best, Behind, "token "+v.best.ID+" is newer than what is published")
	case why != "":
		d.reuse(v.best, why, detail)
	default:
		d.wake(o.due(s.Cluster.Name, v.best.Issued))
		d.wake(v.best.Expires.Add(-nearEnd(*v.best)))
	}
	d.sweep(v, now, o)
	d.crowded(v, v.state.ring())
	return d
}

func (d *Decision) make(v view, now time.Time, o Options, why Reason, detail string, requests []string) {
	d.Rotate, d.Reason, d.Detail, d.Requests, d.ID = true, why, detail, requests, v.free(v.state.ring())
	d.Issued, d.Expires = now.UTC().Truncate(time.Second), now.UTC().Add(o.TTL).Truncate(time.Second)
	if newest := v.newest(); !newest.Before(d.Issued) {
		d.Issued = newest.Add(time.Second)
	}
}

func (s State) ring() []string {
	if s.Ring == nil {
		return Join.IDs()
	}
	return s.Ring
}

func (d *Decision) reuse(t *Token, why Reason, detail string) {
	d.Rotate, d.Reason, d.Detail, d.Reuse = true, why, detail, t
}

// wake moves Next forward to t.
func (d *Decision) wake(t time.Time) {
	if t.Before(d.Next) {
		d.Next = t
	}
}

// sweep lists tokens that are past their end, and those that nobody who reads
// now gets, an overlap after that became so. A node may have read the published
// token's predecessor until the published one was written, however long before
// that it was made; so the overlap of whatever is older starts no earlier.
func (d *Decision) sweep(v view, now time.Time, o Options) {
	consider := func(t Token, superseded time.Time) {
		due := superseded.Add(o.Overlap)
		if t.Expires.Before(due) || v.state.Published == nil {
			due = t.Expires
		}
		switch {
		case v.needed(t):
		case now.Before(due):
			d.wake(due)
		default:
			d.Delete = append(d.Delete, t)
		}
	}
	for i, t := range v.sane {
		superseded := t.Issued
		if i+1 < len(v.sane) {
			superseded = v.sane[i+1].Issued
		}
		if v.older(t) && superseded.Before(v.state.Modified) {
			superseded = v.state.Modified
		}
		consider(t, superseded)
	}
	for _, t := range v.ahead { // by the API server's clock, as their own word is worth nothing
		consider(t, t.Created)
	}
}
