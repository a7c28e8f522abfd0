package fit

import (
	"cmp"
	"container/heap"
	"math"
)

// SpreadAll places plain pods as kube-scheduler would: pods of all items in turn,
// each on the node of which the least is allocated among those that it fits on
// (plugin NodeResourcesFit, strategy LeastAllocated, cpu and memory alike). The
// other scores are left out: they matter less and depend on more. What is placed
// this way fills nodes less tightly than FillAll.
func (f *Filler) SpreadAll(nodes []int32) {
	q := &emptiest{l: f.l}
	for _, n := range nodes {
		if f.hasRoom(n) {
			q.nodes = append(q.nodes, loaded{n, q.load(n)})
		}
	}
	heap.Init(q)
	most := int32(0)
	for _, it := range f.items {
		most = max(most, it.left)
	}
	full := make([]bool, len(f.items)) // items that no node takes any more
	for turns := min(most, maxTurns); turns > 0; turns-- {
		for i, it := range f.items {
			for n := it.left / turns; n > 0 && !full[i]; n-- {
				full[i] = !f.spreadOne(q, it)
			}
		}
	}
}

// maxTurns is into how many shares the pods of an item are divided.
const maxTurns = 64

// spreadOne places one pod, or finds that none of its kind fits any more.
func (f *Filler) spreadOne(q *emptiest, it *item) bool {
	var aside []loaded
	found := false
	for len(q.nodes) > 0 && !found {
		top := &q.nodes[0]
		n := top.node
		if found = covers(f.l.Free(n), it.k.req) && f.l.static.allows(it.k.need, f.l.nodes[n].kind); !found {
			aside = append(aside, *top)
			heap.Pop(q)
			continue
		}
		f.putOne(it, n)
		top.share = q.load(n)
		heap.Fix(q, 0)
	}
	for _, a := range aside {
		heap.Push(q, a)
	}
	return found
}

func (f *Filler) putOne(it *item, n int32) {
	for it.batches[0].Left == 0 {
		it.batches = it.batches[1:]
	}
	f.l.placeOn(it.batches[0].k, n, 1)
	it.batches[0].Left--
	it.left--
}

// emptiest is a heap of nodes, the one of which the least is allocated on top.
type emptiest struct {
	l     *Ledger
	nodes []loaded
}

type loaded struct {
	node  int32
	share float64 // of cpu and of memory that is allocated, added up
}

func (q *emptiest) load(n int32) float64 {
	free, whole := q.l.Free(n), q.l.Capacity(n)
	share := 0.0
	for d := range 2 {
		if whole[d] <= 0 {
			return math.Inf(1)
		}
		share += 1 - float64(free[d])/float64(whole[d])
	}
	return share
}

// Len is part of heap.Interface, as are the following.
func (q *emptiest) Len() int { return len(q.nodes) }

// Less compares allocated shares, then places in the ledger.
func (q *emptiest) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q.nodes[i].share, q.nodes[j].share), cmp.Compare(q.nodes[i].node, q.nodes[j].node)) < 0
}

// Swap swaps two nodes.
func (q *emptiest) Swap(i, j int) { q.nodes[i], q.nodes[j] = q.nodes[j], q.nodes[i] }

// Push adds a node.
func (q *emptiest) Push(x any) {
	if n, ok := x.(loaded); ok {
		q.nodes = append(q.nodes, n)
	}
}

// Pop takes the last node off.
func (q *emptiest) Pop() any {
	last := q.nodes[len(q.nodes)-1]
	q.nodes = q.nodes[:len(q.nodes)-1]
	return last
}
