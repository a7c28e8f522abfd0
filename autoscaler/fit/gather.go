package fit

import "slices"

// Domain is a topology domain of one of the ledger's keys.
type Domain struct{ key, value int32 }

// Gathering gives the domains that pods of the batch could gather in, on the shelf
// or on new nodes: their first pod is free to choose one, and all others must
// follow it. Empty when the batch has no such choice.
func (l *Ledger) Gathering(b *Batch, shelf *Shelf, more []NewAt) []Domain {
	k := b.k
	if !k.selfNear || b.Left < 2 || slices.ContainsFunc(k.near, func(t *tally) bool { return t.total > 0 }) {
		return nil
	}
	at := slices.IndexFunc(k.near, func(t *tally) bool { return t.key != l.hosts })
	if at < 0 {
		return nil
	}
	key := k.near[at].key
	var out []Domain
	add := func(value int32) {
		if d := (Domain{int32(key), value}); value != none && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	for _, n := range shelf.nodes {
		if value := l.place[int(n)*len(l.keys)+key]; l.takes(k, n) {
			add(value)
		}
	}
	for _, at := range more {
		add(l.prototype(at.Group, at.Zone).place[key])
	}
	if len(out) < 2 {
		return nil
	}
	return out
}

// Pin keeps the batch's pods to one domain until Unpin.
func (b *Batch) Pin(d Domain) { b.k.pinned, b.k.pinKey, b.k.pin = true, d.key, d.value }

// Unpin ends Pin.
func (b *Batch) Unpin() { b.k.pinned = false }
