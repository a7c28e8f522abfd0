package fit

import (
	"cmp"
	"slices"
)

// Candidates are the nodes that pods of one batch may still go to. They hold good
// while pods are only added to the ledger.
type Candidates struct {
	l *Ledger
	b *Batch
	// wide are the keys of the class's terms but for the host name.
	wide []int
	// host says that a spread constraint is over hosts: then nodes take turns.
	host bool
	// lasting: nodes may be removed from the ledger between two pods, and trials
	// reverted, so nothing but a node without room is passed by for good.
	lasting bool
	buckets []*bucket
	at      map[uint64]*bucket
}

// bucket are the candidates with the same domains of the wide keys: what a term
// over those says holds for all of them.
type bucket struct {
	nodes []int32
	next  int
	dead  bool // for all pods of the batch
	tried bool // for the pod at hand
	mark  int  // next when Mark was called
}

// Candidates finds the nodes among the given ones, and their order in it is that
// in which they are tried.
func (l *Ledger) Candidates(b *Batch, nodes []int32) *Candidates {
	c := &Candidates{l: l, b: b, at: map[uint64]*bucket{}}
	c.setKeys()
	for _, n := range nodes {
		c.Add(n)
	}
	if c.host {
		c.sortByHost()
	}
	return c
}

// LastingCandidates are Candidates that hold good while nodes are removed too, and
// over reverts if Mark and Reset are called with them.
func (l *Ledger) LastingCandidates(b *Batch, nodes []int32) *Candidates {
	c := l.Candidates(b, nodes)
	c.lasting = true
	return c
}

// Mark remembers which nodes have been passed by.
func (c *Candidates) Mark() {
	for _, bk := range c.buckets {
		bk.mark = bk.next
	}
}

// Reset goes back to the last Mark.
func (c *Candidates) Reset() {
	for _, bk := range c.buckets {
		bk.next = bk.mark
	}
}

func (c *Candidates) setKeys() {
	add := func(key int) {
		if key != c.l.hosts && !slices.Contains(c.wide, key) {
			c.wide = append(c.wide, key)
		}
	}
	k := c.b.k
	for _, list := range [3][]*tally{k.far, k.shunned, k.near} {
		for _, t := range list {
			add(t.key)
		}
	}
	for _, s := range k.spreads {
		add(s.counts.key)
		c.host = c.host || s.counts.key == c.l.hosts
	}
}

// Add adds a node.
func (c *Candidates) Add(n int32) {
	if c.l.room(c.b.k, n) == 0 {
		return
	}
	h := uint64(14695981039346656037)
	for _, key := range c.wide {
		h = (h ^ uint64(uint32(c.l.place[int(n)*len(c.l.keys)+key]))) * 1099511628211
	}
	bk := c.at[h]
	if bk == nil {
		bk = &bucket{}
		c.at[h] = bk
		c.buckets = append(c.buckets, bk)
	}
	bk.nodes = append(bk.nodes, n)
}

func (c *Candidates) sortByHost() {
	for _, bk := range c.buckets {
		slices.SortStableFunc(bk.nodes, func(a, b int32) int { return cmp.Compare(c.hostCount(a), c.hostCount(b)) })
	}
}

func (c *Candidates) hostCount(n int32) int32 {
	count := int32(0)
	for _, s := range c.b.k.spreads {
		if s.counts.key == c.l.hosts {
			count = max(count, s.counts.at(c.l.place[int(n)*len(c.l.keys)+c.l.hosts]))
		}
	}
	return count
}

// PlaceAll places pods of the batch as long as one fits somewhere.
func (c *Candidates) PlaceAll() {
	for c.b.Left > 0 && c.PlaceOne() >= 0 {
	}
}

// PlaceOne places one pod and returns its node, -1 when it fits nowhere. Domains
// with the fewest pods of a spread come first.
func (c *Candidates) PlaceOne() int32 {
	for _, bk := range c.buckets {
		bk.tried = false
	}
	for {
		bk := c.emptiest()
		if bk == nil {
			return -1
		}
		if n := c.placeIn(bk); n >= 0 {
			return n
		}
		bk.tried = true
	}
}

// emptiest is the bucket whose domains hold the fewest pods that the class
// spreads from.
func (c *Candidates) emptiest() *bucket {
	var best *bucket
	least := int32(0)
	for _, bk := range c.buckets {
		if bk.dead || bk.tried {
			continue
		}
		if bk.next >= len(bk.nodes) {
			if len(bk.nodes) == 0 || !c.host {
				continue
			}
			bk.next = 0
		}
		count := int32(0)
		at := int(bk.nodes[0]) * len(c.l.keys)
		for _, s := range c.b.k.spreads {
			if s.counts.key != c.l.hosts {
				count = max(count, s.counts.at(c.l.place[at+s.counts.key]))
			}
		}
		if best == nil || count < least {
			best, least = bk, count
		}
		if len(c.b.k.spreads) == 0 {
			break
		}
	}
	return best
}

func (c *Candidates) placeIn(bk *bucket) int32 {
	for missed := 0; missed <= len(bk.nodes) && len(bk.nodes) > 0; {
		if bk.next >= len(bk.nodes) {
			if !c.host {
				return -1
			}
			bk.next = 0
		}
		n := bk.nodes[bk.next]
		switch c.l.check(c.b.k, n) {
		case fits:
			c.l.placeOn(c.b.k, n, 1)
			c.b.Left--
			if c.host {
				bk.next++
			}
			return n
		case badDomain:
			bk.dead = !c.lasting
			return -1
		case uneven:
			return -1
		case unevenHost:
			bk.next++
			missed++
		case badNode, noRoom, badHost:
			if !c.host || c.lasting {
				bk.next++
				missed++
				continue
			}
			bk.nodes = slices.Delete(bk.nodes, bk.next, bk.next+1)
		}
	}
	return -1
}
