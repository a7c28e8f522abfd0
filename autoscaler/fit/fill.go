package fit

import (
	"math"
	"slices"
)

// Load is what one node is filled with: of each item of a Filler how many pods.
type Load []int32

// Filler packs plain batches onto nodes. Batches whose pods take the same and suit
// the same nodes are one item, so the work grows with the number of different
// items and of different nodes, not with pods.
type Filler struct {
	l     *Ledger
	items []*item
	// weight of each dimension: the share of it that the waiting pods ask for.
	weight []float64
	// least is the smallest request of any item in each dimension; a node with
	// less takes nothing.
	least []int64
	load  Load // of the node at hand
	free  []int64
}

// item are batches that are alike to the packer.
type item struct {
	batches []*Batch // placed in this order
	k       *class
	left    int32
}

// NewFiller makes a Filler of the plain ones of the batches.
func (l *Ledger) NewFiller(batches []*Batch) *Filler {
	f := &Filler{l: l, free: make([]int64, len(l.dims))}
	alike := map[string]*item{}
	var key []byte
	for _, b := range batches {
		if !b.Plain() || b.Left == 0 {
			continue
		}
		key = itemKey(key[:0], b.k)
		it := alike[string(key)]
		if it == nil {
			it = &item{k: b.k}
			alike[string(key)] = it
			f.items = append(f.items, it)
		}
		it.batches = append(it.batches, b)
		it.left += b.Left
	}
	f.load = make(Load, len(f.items))
	f.weigh()
	return f
}

func itemKey(buf []byte, k *class) []byte {
	for _, q := range k.req {
		for range 8 {
			buf = append(buf, byte(q))
			q >>= 8
		}
	}
	return append(buf, k.need.key...)
}

// weigh finds out which dimensions are in demand. It looks at what is left, so
// that the dimension that will run out decides, not one of which there is plenty.
func (f *Filler) weigh() {
	r := len(f.l.dims)
	f.weight, f.least = make([]float64, r), make([]int64, r)
	for d := range r {
		first := true
		for _, it := range f.items {
			if it.left == 0 {
				continue
			}
			f.weight[d] += float64(it.left) * float64(it.k.req[d])
			if first || it.k.req[d] < f.least[d] {
				f.least[d], first = it.k.req[d], false
			}
		}
	}
}

// Left is how many pods have no place yet.
func (f *Filler) Left() int {
	n := 0
	for _, it := range f.items {
		n += int(it.left)
	}
	return n
}

// FillAll fills the nodes in their order. Runs of nodes that are alike get the
// same load at once.
func (f *Filler) FillAll(nodes []int32) {
	for i := 0; i < len(nodes) && f.Left() > 0; {
		run := f.run(nodes[i:])
		if !f.hasRoom(nodes[i]) {
			i += run
			continue
		}
		load := f.LoadOf(f.l.Free(nodes[i]), f.l.Capacity(nodes[i]), f.l.nodes[nodes[i]].kind)
		times := min(f.Times(load), run)
		if times == 0 {
			i += run
			continue
		}
		for _, n := range nodes[i : i+times] {
			f.Put(load, n)
		}
		i += times
	}
}

// run is how many nodes from the first on are alike.
func (f *Filler) run(nodes []int32) int {
	first := nodes[0]
	n := 1
	for n < len(nodes) && f.l.nodes[nodes[n]].kind == f.l.nodes[first].kind &&
		slices.Equal(f.l.Free(nodes[n]), f.l.Free(first)) {
		n++
	}
	return n
}

func (f *Filler) hasRoom(n int32) bool {
	if !f.l.Usable(n) {
		return false
	}
	free := f.l.Free(n)
	for d, q := range f.least {
		if q > 0 && free[d] < q {
			return false
		}
	}
	return true
}

// LoadOf works out what a node of the kind with so much free is best filled with.
// It begins with the node's share of everything, were all nodes like this one, so
// that the small pods do not all come last and fill nodes by their mere number.
// Then, step by step, it takes the item that uses most of what the node has left,
// each dimension weighed by how much of it is in demand (the dot product heuristic
// of vector bin packing). The result is good until the next call.
func (f *Filler) LoadOf(free, capacity []int64, kind int32) Load {
	clear(f.load)
	copy(f.free, free)
	scale := make([]float64, len(f.free))
	for d := range scale {
		if capacity[d] > 0 && f.weight[d] > 0 {
			// The share of demand over capacity, per unit squared.
			c := float64(capacity[d])
			scale[d] = f.weight[d] / c / c / c
		}
	}
	open := make([]int32, 0, len(f.items))
	for i, it := range f.items {
		if it.left > 0 && f.l.static.allows(it.k.need, kind) && covers(f.free, it.k.req) {
			open = append(open, int32(i))
		}
	}
	f.takeShares(open)
	for len(open) > 0 {
		best, score := -1, -1.0
		kept := open[:0]
		for _, i := range open {
			it := f.items[i]
			if f.load[i] >= it.left || !covers(f.free, it.k.req) {
				continue
			}
			kept = append(kept, i)
			s := 0.0
			for d, q := range it.k.req {
				s += scale[d] * float64(q) * float64(f.free[d])
			}
			if s > score {
				best, score = int(i), s
			}
		}
		open = kept
		if best < 0 {
			break
		}
		for d, q := range f.items[best].k.req {
			f.free[d] -= q
		}
		f.load[best]++
	}
	return f.load
}

// takeShares loads of each item what falls to one node when all of them are spread
// evenly over as few nodes as their sums allow.
func (f *Filler) takeShares(open []int32) {
	nodes := 1.0
	for d, free := range f.free {
		demand := 0.0
		for _, i := range open {
			demand += float64(f.items[i].left) * float64(f.items[i].k.req[d])
		}
		if demand > 0 {
			nodes = max(nodes, demand/float64(free))
		}
	}
	least := int32(math.Ceil(nodes))
	for _, i := range open {
		it := f.items[i]
		if n := it.left / least; n > 0 {
			f.load[i] = n
			for d, q := range it.k.req {
				f.free[d] -= int64(n) * q
			}
		}
	}
}

// Times is how many nodes the waiting pods could fill with the load. 0 when the
// load is empty.
func (f *Filler) Times(load Load) int {
	least := int32(0)
	for i, n := range load {
		if n == 0 {
			continue
		}
		if t := f.items[i].left / n; least == 0 || t < least {
			least = t
		}
	}
	return int(least)
}

// Demand is the share of all that waits that the load answers, summed over the
// dimensions; 0 for an empty load.
func (f *Filler) Demand(load Load) float64 {
	share := 0.0
	for i, n := range load {
		if n == 0 {
			continue
		}
		for d, q := range f.items[i].k.req {
			if f.weight[d] > 0 {
				share += float64(n) * float64(q) / f.weight[d]
			}
		}
	}
	return share
}

// Share is the same for a capacity: what share of the demand it could answer if
// nothing of it were wasted.
func (f *Filler) Share(capacity []int64) float64 {
	share := 0.0
	for d, c := range capacity[:f.l.drivers] {
		if f.weight[d] > 0 {
			share += float64(c) / f.weight[d]
		}
	}
	return share
}

// Put places a load on a node.
func (f *Filler) Put(load Load, n int32) {
	for i, count := range load {
		it := f.items[i]
		it.left -= count
		for count > 0 {
			b := it.batches[0]
			if b.Left == 0 {
				it.batches = it.batches[1:]
				continue
			}
			now := min(count, b.Left)
			f.l.placeOn(b.k, n, now)
			b.Left -= now
			count -= now
		}
	}
}
