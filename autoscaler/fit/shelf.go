package fit

import "slices"

// Shelf are nodes in the order in which pods are to be placed on them. Batches
// share how it is arranged by topology domains, so that placing a few pods does not
// cost a look at every node.
type Shelf struct {
	l     *Ledger
	nodes []int32
	by    []*arrangement
}

// arrangement is a shelf by the domains of some topology keys.
type arrangement struct {
	keys []int
	rows []*row
	at   map[uint64]*row
}

// row are nodes with the same domains, in the order of the shelf.
type row struct {
	hash  uint64
	nodes []int32
}

// Shelf makes a Shelf of the nodes, whose slice it takes over.
func (l *Ledger) Shelf(nodes []int32) *Shelf { return &Shelf{l: l, nodes: nodes} }

// Nodes are the nodes in order. The slice must not be changed.
func (s *Shelf) Nodes() []int32 { return s.nodes }

// Add puts a node at the end.
func (s *Shelf) Add(n int32) {
	s.nodes = append(s.nodes, n)
	for _, a := range s.by {
		a.add(s.l, n)
	}
}

// Drop takes nodes off the end that the ledger no longer has.
func (s *Shelf) Drop() {
	gone := func(nodes []int32) []int32 {
		for len(nodes) > 0 && int(nodes[len(nodes)-1]) >= len(s.l.nodes) {
			nodes = nodes[:len(nodes)-1]
		}
		return nodes
	}
	s.nodes = gone(s.nodes)
	for _, a := range s.by {
		for _, r := range a.rows {
			r.nodes = gone(r.nodes)
		}
	}
}

// arrange gives the arrangement by some keys, in their order.
func (s *Shelf) arrange(keys []int) *arrangement {
	for _, a := range s.by {
		if slices.Equal(a.keys, keys) {
			return a
		}
	}
	a := &arrangement{keys: keys, at: map[uint64]*row{}}
	for _, n := range s.nodes {
		a.add(s.l, n)
	}
	s.by = append(s.by, a)
	return a
}

func (a *arrangement) add(l *Ledger, n int32) {
	h := a.hash(l, n)
	r := a.at[h]
	if r == nil {
		r = &row{hash: h}
		a.at[h] = r
		a.rows = append(a.rows, r)
	}
	r.nodes = append(r.nodes, n)
}

// hash stands for the domains of a node (FNV-1a over their numbers).
func (a *arrangement) hash(l *Ledger, n int32) uint64 {
	h := uint64(14695981039346656037)
	for _, key := range a.keys {
		h = (h ^ uint64(uint32(l.place[int(n)*len(l.keys)+key]))) * 1099511628211
	}
	return h
}
