package csr

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/joinery/joinery/internal/fleet"
)

// GrantsName is the ConfigMap in kube-system that remembers what was granted.
// Approved CSR objects cannot: Kubernetes deletes them after an hour.
const GrantsName = "joinery-grants"

// Grant is what one launch of an instance was granted.
type Grant struct {
	// Launch is the instance's launch time; a later one starts afresh.
	Launch time.Time `json:"launch"`
	// Node is the name that the certificates are for.
	Node string `json:"node,omitempty"`
	// Keys identify the public keys that got a certificate for the join.
	Keys []string `json:"keys,omitempty"`
	// Until is when the last of these certificates ends.
	Until time.Time `json:"until,omitzero"`
	// Own identifies the key of the kubelet's own certificate, OwnOf is how many
	// Keys there were when it was given: a join that is done again from the start
	// makes another key.
	Own   string `json:"own,omitempty"`
	OwnOf int    `json:"ownOf,omitempty"`
	// Joined says that the instance's Node was Ready since the launch.
	Joined bool `json:"joined,omitempty"`
	// Granted is when the last of Keys was given.
	Granted time.Time `json:"granted,omitzero"`
	// Rejoins are the times within rejoinPeriod at which the instance was admitted
	// again, after its Node was deleted.
	Rejoins []time.Time `json:"rejoins,omitempty"`
}

// rejoinPeriod is the period in which Policy.MaxRejoins bounds rejoins.
const rejoinPeriod = time.Hour

// awaitJoin is how long a launch that was admitted is remembered while its Node
// was not Ready: only the Ready Node of a remembered launch is admitted.
const awaitJoin = 24 * time.Hour

func (g Grant) equal(o Grant) bool {
	return g.Launch.Equal(o.Launch) && g.Node == o.Node && slices.Equal(g.Keys, o.Keys) && g.Until.Equal(o.Until) &&
		g.Own == o.Own && g.OwnOf == o.OwnOf && g.Joined == o.Joined && g.Granted.Equal(o.Granted) &&
		slices.EqualFunc(g.Rejoins, o.Rejoins, time.Time.Equal)
}

// with is the grant with one certificate more, for the request's key.
func (g Grant) with(r Request, now time.Time) *Grant {
	g.Node = r.Node
	if !slices.Contains(g.Keys, r.Key) {
		g.Keys = append(slices.Clone(g.Keys), r.Key)
	}
	// A request that is served late gets its whole life from then on.
	if until := now.Add(r.Life).UTC().Truncate(time.Second); until.After(g.Until) {
		g.Until = until
	}
	g.Granted = now.UTC().Truncate(time.Second)
	return &g
}

// recentRejoins are those that count against Policy.MaxRejoins.
func (g Grant) recentRejoins(now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(g.Rejoins), func(t time.Time) bool { return now.Sub(t) >= rejoinPeriod })
}

// rejoined is the grant of an instance that is admitted again: what was given
// before no longer counts, and its next Ready Node is admitted.
func (g Grant) rejoined(r Request, now time.Time) *Grant {
	next := Grant{Launch: g.Launch, Rejoins: append(g.recentRejoins(now), now.UTC().Truncate(time.Second))}
	return next.with(r, now)
}

// pending reports whether the launch was admitted under that name and its Node was
// not Ready since.
func (g Grant) pending(node string) bool { return len(g.Keys) > 0 && !g.Joined && g.Node == node }

// granted is what this launch of the instance was granted before.
func (f Facts) granted(i fleet.Instance) Grant {
	if g, ok := f.Grants[i.ID]; ok && g.Launch.Equal(i.LaunchTime) {
		return g
	}
	return Grant{Launch: i.LaunchTime.UTC()}
}

// errGrantChanged says that a grant is no longer what the verdict was based on.
var errGrantChanged = errors.New("grant changed meanwhile")

// Grants remembers durably which launches were granted certificates. Entries go
// once their launch window has passed, as nothing is granted after it, so the
// object stays small however large the cluster is.
type Grants struct {
	entries ledger[Grant] // by instance id
	keep    time.Duration
}

// NewGrants returns the grants kept in kube-system for launches that may be
// granted certificates within launchWindow.
func NewGrants(client configMaps, launchWindow time.Duration) *Grants {
	return &Grants{
		entries: ledger[Grant]{client: client, name: GrantsName, what: "grants", decode: decodeGrant, encode: encodeGrant},
		keep:    launchWindow + 2*heldTooLong,
	}
}

// decodeGrant fails for an entry that cannot be read: it may hide a grant.
func decodeGrant(text string) (one Grant, err error) {
	err = json.Unmarshal([]byte(text), &one)
	return one, err
}

func encodeGrant(one Grant) (string, error) {
	text, err := json.Marshal(one)
	return string(text), err
}

// All returns the grants by instance id, as the API server has them now.
func (g *Grants) All(ctx context.Context) (map[string]Grant, error) { return g.entries.all(ctx) }

// Record remembers, before a certificate is approved, what an instance will have
// been granted. before is the grant that the verdict was based on; if it changed
// meanwhile, nothing is recorded and the request is to be judged again.
func (g *Grants) Record(ctx context.Context, instanceID string, before, next Grant, now time.Time) error {
	return g.update(ctx, now, func(all map[string]Grant) (bool, error) {
		if !all[instanceID].equal(before) {
			return false, errGrantChanged
		}
		all[instanceID] = next
		return !next.equal(before), nil
	})
}

// Joined remembers that the Node of an instance became Ready. Without a grant
// there is nothing to remember, and a Node of another name only says that it is
// that instance's.
func (g *Grants) Joined(ctx context.Context, instanceID, node string, now time.Time) error {
	return g.update(ctx, now, func(all map[string]Grant) (bool, error) {
		is, ok := all[instanceID]
		if !ok || is.Joined || is.Node != node {
			return false, nil
		}
		is.Joined = true
		all[instanceID] = is
		return true, nil
	})
}

func (g *Grants) update(ctx context.Context, now time.Time, change func(map[string]Grant) (bool, error)) error {
	return g.entries.update(ctx, func(all map[string]Grant) (bool, error) {
		changed, err := change(all)
		if changed {
			maps.DeleteFunc(all, func(_ string, one Grant) bool { return g.over(one, now) })
		}
		return changed, err
	})
}

// over reports whether nothing can follow from a grant any more.
func (g *Grants) over(one Grant, now time.Time) bool {
	if one.pending(one.Node) {
		return now.Sub(one.Granted) > awaitJoin && now.Sub(one.Launch) > g.keep
	}
	return now.Sub(one.Granted) > g.keep && now.Sub(one.Launch) > g.keep
}
