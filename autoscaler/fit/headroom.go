package fit

// Headroom sums what is left of the nodes of one group. It is room in general
// and not empty nodes that is kept: where in the group it is, the scheduler
// decides with every pod that it places.
type Headroom struct{ cpu, memory int64 }

// Add counts a node in, if pods may be planned on it.
func (h *Headroom) Add(l *Ledger, n int32) {
	if l.Usable(n) {
		free := l.Free(n)
		h.cpu += max(0, free[0])
		h.memory += max(0, free[1])
	}
}

// Enough reports whether as much is left as so many nodes of this capacity have.
func (h *Headroom) Enough(capacity []int64, nodes int) bool {
	return h.cpu >= int64(nodes)*capacity[0] && h.memory >= int64(nodes)*capacity[1]
}
