package token

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Token is one of our own token Secrets.
type Token struct {
	// ID is the public half.
	ID string
	// Text is <id>.<secret>.
	Text v1alpha1.Secret
	// UID of the Secret.
	UID string
	// Issued is when it was made, Expires when it stops to work, both by the
	// clock of the master that made it.
	Issued, Expires time.Time
	// Created is when its Secret was made, by the API server's clock.
	Created time.Time
	// Requests are the ids of the requests that it was made for.
	Requests []string
	// Altered says that its usages or groups are not what was made.
	Altered bool
}

// compare orders tokens by when they were issued. Two leaders may make one in
// the same second; the order of their ids is the same for everybody.
func compare(issuedA time.Time, idA string, issuedB time.Time, idB string) int {
	return cmp.Or(issuedA.Compare(issuedB), strings.Compare(idA, idB))
}

// supersedes says whether a bundle that was found is newer than b at now, so
// that b must not be written over it.
func supersedes(found, b *v1alpha1.JoinBundle, now time.Time) bool {
	return found != nil && !isAhead(found.IssuedAt, now) &&
		compare(found.IssuedAt, found.TokenID(), b.IssuedAt, b.TokenID()) > 0
}

func isAhead(issued, now time.Time) bool { return issued.After(now.Add(maxAhead)) }

// view is a State in order.
type view struct {
	state State
	sane  []Token // oldest first
	ahead []Token // issued too far in the future
	live  *Token  // the Secret of the published token
	best  *Token  // the newest that is fit to be published
	lost  bool    // what is published is from too far in the future
}

func look(s State, now time.Time) view {
	v := view{state: s}
	sorted := slices.SortedFunc(slices.Values(s.Tokens), func(a, b Token) int { return compare(a.Issued, a.ID, b.Issued, b.ID) })
	for i, t := range sorted {
		if s.Published != nil && t.ID == s.Published.TokenID() {
			v.live = &sorted[i]
		}
		if isAhead(t.Issued, now) {
			v.ahead = append(v.ahead, t)
		} else {
			v.sane = append(v.sane, t)
		}
	}
	v.lost = s.Published != nil && isAhead(s.Published.IssuedAt, now)
	v.best = v.choose(now)
	return v
}

// choose finds the newest fit token. None that is older than what is published
// comes back: it was superseded for a reason, such as that it leaked.
func (v view) choose(now time.Time) *Token {
	for i, t := range slices.Backward(v.sane) {
		if v.older(t) {
			break
		}
		if !t.Altered && !v.contradicted(t) && t.Expires.Sub(now) > nearEnd(t) {
			return &v.sane[i]
		}
	}
	return nil
}

// older says whether t was made before the published token. What is published
// from too far in the future says nothing about that, but the API server does.
func (v view) older(t Token) bool {
	switch b := v.state.Published; {
	case b == nil:
		return false
	case !v.lost:
		return compare(t.Issued, t.ID, b.IssuedAt, b.TokenID()) < 0
	default:
		return v.live != nil && t.Created.Before(v.live.Created)
	}
}

// contradicted says whether t is the published token and its Secret does not
// say what the bundle says. One of the two was changed by somebody else.
func (v view) contradicted(t Token) bool {
	b := v.state.Published
	return b != nil && t.ID == b.TokenID() && (t.Text != b.Token || !t.Expires.Equal(b.ExpiresAt))
}

// behind says whether the best token is another than the published one.
func (v view) behind() bool {
	return v.state.Published != nil && v.best.ID != v.state.Published.TokenID()
}

// newest is when the last token was issued that a new one must not be older
// than.
func (v view) newest() time.Time {
	var last time.Time
	if n := len(v.sane); n > 0 {
		last = v.sane[n-1].Issued
	}
	if b := v.state.Published; b != nil && !v.lost && b.IssuedAt.After(last) {
		last = b.IssuedAt
	}
	return last
}

// open lists the requests for which no token was made yet.
func (v view) open() []string {
	var out []string
	for _, id := range v.state.Requests {
		if !slices.ContainsFunc(v.state.Tokens, func(t Token) bool { return slices.Contains(t.Requests, id) }) {
			out = append(out, id)
		}
	}
	return out
}

// trouble says why what is published will not do; "" when it will.
func (v view) trouble(now time.Time, o Options) (Reason, string) {
	s, live := v.state, v.live
	switch {
	case s.Unreadable != "":
		return Disagree, s.Unreadable
	case s.Published == nil:
		return Start, "nothing is published yet"
	case v.lost:
		return Ahead, "what is published was issued at " + s.Published.IssuedAt.Format(time.RFC3339) + ", too far in the future"
	case live == nil:
		return Missing, "the published token has no Secret"
	case live.Text != s.Published.Token:
		return Disagree, "the published token and its Secret differ"
	case live.Altered:
		return Disagree, "the published token's Secret has other usages or groups than it was made with"
	case !live.Expires.Equal(s.Published.ExpiresAt):
		return Disagree, "expiresAt and the expiration of the token's Secret differ"
	case !live.Issued.Equal(s.Published.IssuedAt):
		return Disagree, "issuedAt and the time that the token's Secret was made differ"
	}
	if field := s.Cluster.Says(s.Published); field != "" {
		return Disagree, field + " is not what the cluster says now"
	}
	if left := live.Expires.Sub(now); left <= nearEnd(*live) {
		return NearEnd, "the published token has " + left.Round(time.Second).String() + " left"
	}
	if !now.Before(o.due(s.Cluster.Name, live.Issued)) {
		return Scheduled, "the schedule is due"
	}
	return "", ""
}
