package token

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/joinery/joinery/internal/kube"
)

// Tokens have fixed ids, so that RBAC can name their Secrets: the controller may
// read and delete these and no other Secret. An id is used again after all the
// others; the half of a token that is secret is random each time.
const (
	joinRing   = "joinr"
	legacyRing = "joinl"
	// ringSize is how many ids there are: one for each of the digits 0 to f. By
	// default two tokens live at a time, and up to 13 more may be asked for
	// within an overlap.
	ringSize = 16
)

// spare is how many ids are kept free for the next token.
const spare = 1

// IDs returns the ids that tokens of the purpose have, in the order of their use.
func (p Purpose) IDs() []string {
	prefix := joinRing
	if p == Legacy {
		prefix = legacyRing
	}
	out := make([]string, ringSize)
	for i := range out {
		out[i] = prefix + strconv.FormatInt(int64(i), ringSize)
	}
	return out
}

// SecretNames returns the names of the Secrets of tokens of the purpose.
func (p Purpose) SecretNames() []string {
	out := p.IDs()
	for i, id := range out {
		out[i] = kube.BootstrapTokenSecretName(id)
	}
	return out
}

// RingFullError reports that no id is free for another token.
type RingFullError struct {
	// Foreign are the ids whose Secrets are not this rotator's.
	Foreign []string
}

// Error names the Secrets that are in the way, if there are any.
func (e *RingFullError) Error() string {
	if len(e.Foreign) == 0 {
		return "all ids of tokens are in use: waiting for the oldest to be deleted"
	}
	return fmt.Sprintf("all ids of tokens are in use, %q by Secrets that are not this cluster's: delete those", e.Foreign)
}

// free returns the id for a new token: the first one after the newest token's
// that no Secret has. A published id is not free even when its Secret is gone:
// what was revoked does not come back under the same name. It returns "" when
// there is none.
func (v view) free(ring []string) string {
	at := slices.Index(ring, v.newestID())
	for i := range ring {
		if id := ring[(at+1+i)%len(ring)]; !v.occupied(id) {
			return id
		}
	}
	return ""
}

func (v view) occupied(id string) bool {
	return slices.Contains(v.state.Foreign, id) ||
		slices.ContainsFunc(v.state.Tokens, func(t Token) bool { return t.ID == id }) ||
		v.state.Published != nil && v.state.Published.TokenID() == id
}

// newestID is the id of the token that was issued last; "" when none is known.
func (v view) newestID() string {
	id := ""
	if n := len(v.sane); n > 0 {
		id = v.sane[n-1].ID
	}
	if b := v.state.Published; b != nil && (id == "" || !v.lost && b.IssuedAt.After(v.sane[len(v.sane)-1].Issued)) {
		id = b.TokenID()
	}
	return id
}

// crowded returns the oldest tokens that must be deleted for an id to be free,
// before their overlap is over. A node that has read one of them reads the newer
// one at its next attempt.
func (d *Decision) crowded(v view, ring []string) {
	left := spare
	if d.Rotate && d.Reuse == nil && d.ID != "" {
		left++
	}
	for _, id := range ring {
		if !v.occupied(id) {
			left--
		}
	}
	left -= len(d.Delete)
	for _, t := range slices.Concat(v.ahead, v.sane) {
		if left <= 0 {
			return
		}
		if !v.needed(t) && !slices.ContainsFunc(d.Delete, func(o Token) bool { return o.UID == t.UID }) {
			d.Delete = append(d.Delete, t)
			left--
		}
	}
}

// needed reports whether t is published or the next to be.
func (v view) needed(t Token) bool {
	return v.live != nil && t.ID == v.live.ID || v.best != nil && t.ID == v.best.ID
}
