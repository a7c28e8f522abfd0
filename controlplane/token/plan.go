// Package token keeps one live bootstrap token published in SSM: it rotates by
// schedule and whenever what is observed calls for it, and deletes tokens that
// nobody can need any more. Plan decides and does no I/O; Rotator executes.
package token

import (
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
)

// Reason is why a token is rotated.
type Reason string

// The reasons of a rotation.
const (
	// Start: nothing is published yet.
	Start Reason = "Start"
	// Missing: the published token's Secret is gone. Deleting that Secret is
	// how an operator revokes a token: a new one is published at once.
	Missing Reason = "Missing"
	// NearEnd: the published token is too near its end to boot a node with.
	NearEnd Reason = "NearEnd"
	// Scheduled: the schedule says so.
	Scheduled Reason = "Scheduled"
	// Disagree: what is published and what the cluster says are two things.
	Disagree Reason = "Disagree"
	// OnDemand: somebody asked for it.
	OnDemand Reason = "OnDemand"
)

// Token is one of our own token Secrets.
type Token struct {
	// ID is the public half.
	ID string
	// Text is <id>.<secret>.
	Text v1alpha1.Secret
	// UID of the Secret.
	UID string
	// Issued is when it was made, Expires when it stops to work.
	Issued, Expires time.Time
	// Altered says that its usages or groups are not what was made.
	Altered bool
}

// State is what was observed.
type State struct {
	// Tokens are our own, in no order.
	Tokens []Token
	// Published is the bundle in SSM; nil when there is none.
	Published *v1alpha1.JoinBundle
	// Unreadable says why what is published is not a bundle; "" when it is one
	// or when nothing is published.
	Unreadable string
	// Cluster is what the bundle should say about the cluster.
	Cluster bundle.Cluster
	// Requested says that somebody asked for a rotation.
	Requested bool
}

// Options say how tokens are rotated.
type Options struct {
	// Schedule of the rotations, counted from when the published token was made.
	Schedule cron.Schedule
	// TTL is a token's life.
	TTL time.Duration
	// Overlap is how long a superseded token is kept for nodes that are booting.
	Overlap time.Duration
	// Recheck is how often SSM and the cluster are compared when nothing happens.
	Recheck time.Duration
}

// nearEnd is how much life left is too little: twice what the agent insists on,
// but never more than half of a life, or a short TTL would rotate for ever.
func (o Options) nearEnd() time.Duration { return min(2*v1alpha1.MinBundleLife, o.TTL/2) }

// Decision is what to do now.
type Decision struct {
	// Rotate says that a new token is published, for Reason.
	Rotate bool
	Reason Reason
	// Detail says in a few words what was seen.
	Detail string
	// Reuse is a token that was made and never published, because the one who
	// made it was interrupted; it is published instead of a new one.
	Reuse *Token
	// Delete lists tokens that are no longer needed, oldest first.
	Delete []Token
	// Next is when to look again if nothing happens.
	Next time.Time
}

// Plan decides by what was observed at now.
func Plan(s State, now time.Time, o Options) Decision {
	tokens := slices.SortedFunc(slices.Values(s.Tokens), func(a, b Token) int { return a.Issued.Compare(b.Issued) })
	live := published(tokens, s.Published)
	d := Decision{Next: now.Add(o.Recheck)}
	d.Reason, d.Detail = reason(s, live, now, o)
	if d.Rotate = d.Reason != ""; d.Rotate {
		d.Reuse = unpublished(tokens, s.Published, now, o)
	} else {
		d.look(o.Schedule.Next(live.Issued))
		d.look(live.Expires.Add(-o.nearEnd()))
	}
	d.sweep(tokens, live, now, o)
	return d
}

// look moves Next forward to t.
func (d *Decision) look(t time.Time) {
	if t.Before(d.Next) {
		d.Next = t
	}
}

func published(tokens []Token, b *v1alpha1.JoinBundle) *Token {
	if b == nil {
		return nil
	}
	id := tokenID(b.Token)
	if i := slices.IndexFunc(tokens, func(t Token) bool { return t.ID == id }); i >= 0 {
		return &tokens[i]
	}
	return nil
}

func reason(s State, live *Token, now time.Time, o Options) (Reason, string) {
	switch {
	case s.Unreadable != "":
		return Disagree, s.Unreadable
	case s.Published == nil:
		return Start, "nothing is published yet"
	case live == nil:
		return Missing, "the published token has no Secret"
	case s.Requested:
		return OnDemand, "a rotation was requested"
	case live.Text != s.Published.Token:
		return Disagree, "the published token and its Secret differ"
	case live.Altered:
		return Disagree, "the published token's Secret has other usages or groups than it was made with"
	case !live.Expires.Equal(s.Published.ExpiresAt):
		return Disagree, "expiresAt and the expiration of the token's Secret differ"
	}
	if field := s.Cluster.Says(s.Published); field != "" {
		return Disagree, field + " is not what the cluster says now"
	}
	if left := live.Expires.Sub(now); left <= o.nearEnd() {
		return NearEnd, "the published token has " + left.Round(time.Second).String() + " left"
	}
	if !now.Before(o.Schedule.Next(live.Issued)) {
		return Scheduled, "the schedule is due"
	}
	return "", ""
}

// unpublished finds a token newer than what is published with nearly all of its
// life before it. While SSM cannot be written this keeps one token waiting
// instead of making one more with every attempt.
func unpublished(tokens []Token, b *v1alpha1.JoinBundle, now time.Time, o Options) *Token {
	for _, t := range slices.Backward(tokens) {
		newer := b == nil || t.Issued.After(b.IssuedAt)
		known := b != nil && tokenID(b.Token) == t.ID
		if newer && !known && !t.Altered && t.Expires.Sub(now) >= o.TTL-o.TTL/4 {
			return &t
		}
	}
	return nil
}

// sweep lists tokens that are past their end, and those that are not published
// and were superseded at least an overlap ago: by the next newer token, or,
// never published, from the start.
func (d *Decision) sweep(tokens []Token, live *Token, now time.Time, o Options) {
	for i, t := range tokens {
		if (live != nil && t.ID == live.ID) || (d.Reuse != nil && t.ID == d.Reuse.ID) {
			continue
		}
		superseded := t.Issued
		if i+1 < len(tokens) {
			superseded = tokens[i+1].Issued
		}
		due := superseded.Add(o.Overlap)
		if t.Expires.Before(due) {
			due = t.Expires
		}
		if now.Before(due) {
			d.look(due)
			continue
		}
		d.Delete = append(d.Delete, t)
	}
}
