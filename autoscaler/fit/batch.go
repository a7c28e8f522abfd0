package fit

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Batch is a number of pods of one class that wait for a place.
type Batch struct {
	// Left is how many have none yet.
	Left int32

	k *class
	// weight orders batches: the larger are placed first.
	weight float64
	tight  int
}

// Batch makes a batch of n pods. The class must be one of those that the Ledger
// was made for.
func (l *Ledger) Batch(c *cluster.Class, n int) *Batch {
	return &Batch{k: l.byID[c.ID], Left: int32(n)}
}

// Class is the class of the batch's pods.
func (b *Batch) Class() *cluster.Class { return b.k.c }

// Plain reports whether nothing but labels, taints and resources decides where
// the pods fit.
func (b *Batch) Plain() bool { return b.k.plain() }

// Spreads reports whether the pods have a spread constraint.
func (b *Batch) Spreads() bool { return len(b.k.spreads) > 0 }

// Gathers reports whether the pods want to be near pods like themselves.
func (b *Batch) Gathers() bool { return b.k.selfNear }

// Requests is what one pod takes, by Ledger.Dims. It must not be changed.
func (b *Batch) Requests() []int64 { return b.k.req }

// tightness orders classes by how much their terms take away: pods that need a
// host each come first, since they open the nodes that all others can fill; then
// those that spread over hosts.
func (b *Batch) tightness() int {
	switch {
	case b.k.alone():
		return 0
	case slices.ContainsFunc(b.k.c.Spread, func(s cluster.Spread) bool { return s.TopologyKey == corev1.LabelHostname }):
		return 1
	case b.Plain():
		return 3
	}
	return 2
}

// Sort orders batches for placing: the tighter terms first, then the larger pods,
// measured against the given capacity by Ledger.Dims, then by class.
func Sort(batches []*Batch, capacity []int64) {
	for _, b := range batches {
		b.weight, b.tight = 0, b.tightness()
		for d, q := range b.k.req {
			if capacity[d] > 0 {
				b.weight += float64(q) / float64(capacity[d])
			}
		}
	}
	slices.SortFunc(batches, func(a, b *Batch) int {
		return cmp.Or(cmp.Compare(a.tight, b.tight), cmp.Compare(b.weight, a.weight), cmp.Compare(a.k.c.Key, b.k.c.Key))
	})
}

// Fits reports whether one more pod of the batch fits on the node now.
func (l *Ledger) Fits(b *Batch, n int32) bool { return l.check(b.k, n) == fits }

// Place puts one pod of the batch on the node if it fits there.
func (l *Ledger) Place(b *Batch, n int32) bool {
	if b.Left == 0 || l.check(b.k, n) != fits {
		return false
	}
	l.placeOn(b.k, n, 1)
	b.Left--
	return true
}

// Placed is a number of pods of one class that were put on a node together.
type Placed struct {
	Class *cluster.Class
	Node  int32
	Count int32
}

// Placed calls f for what was placed since the beginning, in the order in which
// it was.
func (l *Ledger) Placed(f func(Placed)) {
	for i := range l.log {
		if ch := &l.log[i]; ch.what == placed {
			f(Placed{ch.class.c, ch.node, ch.count})
		}
	}
}

// PlaceTogether places batches of one priority on the nodes as far as they fit,
// in the order in which they are given: those that terms about other pods bind
// first, the others into what is left, and again as long as that leads on.
func (l *Ledger) PlaceTogether(batches []*Batch, shelf *Shelf) {
	for {
		before, constrained := int32(0), false
		for _, b := range batches {
			before += b.Left
			if b.Left > 0 && !b.Plain() {
				constrained = true
				shelf.Candidates(b).PlaceAll()
			}
		}
		l.NewFiller(batches).FillAll(shelf.Nodes())
		left := int32(0)
		for _, b := range batches {
			left += b.Left
		}
		if left == before || !constrained {
			return
		}
	}
}
