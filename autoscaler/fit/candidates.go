package fit

import "slices"

// Candidates are the nodes of a shelf that pods of one batch may still go to. They
// hold good while pods are only added to the ledger, and nodes to the shelf.
type Candidates struct {
	l *Ledger
	b *Batch
	// host says that a spread constraint is over hosts: then nodes take turns, in
	// a list of their own.
	host bool
	// lasting: nodes may be removed from the ledger between two pods, and trials
	// reverted, so nothing but a node without room is passed by for good.
	lasting     bool
	arrangement *arrangement
	buckets     []bucket
}

// bucket are the candidates with the same domains of the wide keys: what a term
// over those says holds for all of them.
type bucket struct {
	row   *row
	next  int
	dead  bool // for all pods of the batch
	tried bool // for the pod at hand
	mark  int  // next when Mark was called
}

// Candidates gives the nodes of the shelf for a batch. They are tried in the
// shelf's order.
func (s *Shelf) Candidates(b *Batch) *Candidates {
	c := &Candidates{l: s.l, b: b}
	c.arrangement = s.arrange(c.wideKeys())
	c.sync()
	return c
}

// LastingCandidates are Candidates that hold good while nodes are removed too, and
// over reverts if Mark and Reset are called with them.
func (s *Shelf) LastingCandidates(b *Batch) *Candidates {
	c := s.Candidates(b)
	c.lasting = true
	return c
}

// Mark remembers which nodes have been passed by.
func (c *Candidates) Mark() {
	for i := range c.buckets {
		c.buckets[i].mark = c.buckets[i].next
	}
}

// Reset goes back to the last Mark.
func (c *Candidates) Reset() {
	for i := range c.buckets {
		c.buckets[i].next = c.buckets[i].mark
	}
}

// wideKeys are the keys of the class's terms but for the host name.
func (c *Candidates) wideKeys() []int {
	var wide []int
	add := func(key int) {
		if key != c.l.hosts && !slices.Contains(wide, key) {
			wide = append(wide, key)
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
	slices.Sort(wide)
	return wide
}

// sync takes in rows that are new on the shelf.
func (c *Candidates) sync() {
	for _, r := range c.arrangement.rows[len(c.buckets):] {
		if c.host {
			r = c.turns(r)
		}
		c.buckets = append(c.buckets, bucket{row: r})
	}
}

// turns lists the nodes of a row that have room, those with the fewest pods first
// that the class spreads over hosts.
func (c *Candidates) turns(r *row) *row {
	own := &row{hash: r.hash}
	for _, n := range r.nodes {
		if c.l.takes(c.b.k, n) {
			own.nodes = append(own.nodes, n)
		}
	}
	if slices.ContainsFunc(c.b.k.spreads, func(s *spread) bool { return s.counts.key == c.l.hosts && s.counts.total > 0 }) {
		own.nodes = c.fewestFirst(own.nodes)
	}
	return own
}

// fewestFirst sorts by hostCount, which is small, and keeps the order of equals.
func (c *Candidates) fewestFirst(nodes []int32) []int32 {
	counts := make([]int32, len(nodes))
	var starts []int32
	for i, n := range nodes {
		counts[i] = c.hostCount(n)
		for int(counts[i])+1 >= len(starts) {
			starts = append(starts, 0)
		}
		starts[counts[i]+1]++
	}
	for i := 1; i < len(starts); i++ {
		starts[i] += starts[i-1]
	}
	out := make([]int32, len(nodes))
	for i, n := range nodes {
		out[starts[counts[i]]] = n
		starts[counts[i]]++
	}
	return out
}

// Added takes note of a node that was added to the shelf.
func (c *Candidates) Added(n int32) {
	known := len(c.buckets)
	c.sync()
	if !c.host || len(c.buckets) > known || !c.l.takes(c.b.k, n) {
		return
	}
	h := c.arrangement.hash(c.l, n)
	at := slices.IndexFunc(c.buckets, func(bk bucket) bool { return bk.row.hash == h })
	c.buckets[at].row.nodes = append(c.buckets[at].row.nodes, n)
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
	for i := range c.buckets {
		c.buckets[i].tried = false
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
	for i := range c.buckets {
		bk := &c.buckets[i]
		if bk.dead || bk.tried {
			continue
		}
		if bk.next >= len(bk.row.nodes) {
			if len(bk.row.nodes) == 0 || !c.host {
				continue
			}
			bk.next = 0
		}
		count := int32(0)
		at := int(bk.row.nodes[0]) * len(c.l.keys)
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
	for missed := 0; missed <= len(bk.row.nodes) && len(bk.row.nodes) > 0; {
		if bk.next >= len(bk.row.nodes) {
			if !c.host {
				return -1
			}
			bk.next = 0
		}
		n := bk.row.nodes[bk.next]
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
			bk.row.nodes = slices.Delete(bk.row.nodes, bk.next, bk.next+1)
		}
	}
	return -1
}
