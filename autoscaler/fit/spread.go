package fit

import "math"

// SpreadAll places plain pods as kube-scheduler would: pods of all items in turn,
// each on the node of which the least is allocated among those that it fits on
// (plugin NodeResourcesFit, strategy LeastAllocated, cpu and memory alike). The
// other scores are left out: they matter less and depend on more. What is placed
// this way fills nodes less tightly than FillAll.
func (f *Filler) SpreadAll(nodes []int32) {
	q := &emptiest{l: f.l}
	for _, n := range nodes {
		if f.hasRoom(n) {
			q.push(loaded{n, q.load(n)})
		}
	}
	most := int32(0)
	for _, it := range f.items {
		most = max(most, it.left)
	}
	full := make([]bool, len(f.items)) // items that no node takes any more
	for turns := min(most, maxTurns); turns > 0; turns-- {
		for i, it := range f.items {
			if n := it.left / turns; n > 0 && !full[i] {
				full[i] = !f.spreadSome(q, it, n)
			}
		}
	}
}

// maxTurns is into how many shares the pods of an item are divided.
const maxTurns = 64

// spreadSome places so many pods of an item, and reports whether all found a node.
func (f *Filler) spreadSome(q *emptiest, it *item, count int32) bool {
	q.aside = q.aside[:0]
	for count > 0 && len(q.nodes) > 0 {
		n := q.nodes[0].node
		if !covers(f.l.Free(n), it.k.req) || !f.l.static.allows(it.k.need, f.l.nodes[n].kind) {
			// It will not take the next one either.
			q.aside = append(q.aside, q.pop())
			continue
		}
		f.putOne(it, n)
		count--
		q.nodes[0].share = q.load(n)
		q.down(0)
	}
	for _, a := range q.aside {
		q.push(a)
	}
	return count == 0
}

func (f *Filler) putOne(it *item, n int32) {
	for it.batches[0].Left == 0 {
		it.batches = it.batches[1:]
	}
	f.l.placeOn(it.batches[0].k, n, 1)
	it.batches[0].Left--
	it.left--
}

// emptiest is a heap of nodes, the one of which the least is allocated on top. It
// is not container/heap, which would allocate for every node that it moves.
type emptiest struct {
	l     *Ledger
	nodes []loaded
	aside []loaded // that do not fit what is being placed
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

func (q *emptiest) less(i, j int) bool {
	a, b := q.nodes[i], q.nodes[j]
	return a.share < b.share || a.share == b.share && a.node < b.node
}

func (q *emptiest) push(n loaded) {
	q.nodes = append(q.nodes, n)
	for i := len(q.nodes) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.less(i, parent) {
			return
		}
		q.nodes[i], q.nodes[parent] = q.nodes[parent], q.nodes[i]
		i = parent
	}
}

func (q *emptiest) pop() loaded {
	top, last := q.nodes[0], len(q.nodes)-1
	q.nodes[0] = q.nodes[last]
	q.nodes = q.nodes[:last]
	q.down(0)
	return top
}

// down moves a node to where it belongs after its share has grown.
func (q *emptiest) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(q.nodes) {
			return
		}
		if child+1 < len(q.nodes) && q.less(child+1, child) {
			child++
		}
		if !q.less(child, i) {
			return
		}
		q.nodes[i], q.nodes[child] = q.nodes[child], q.nodes[i]
		i = child
	}
}
