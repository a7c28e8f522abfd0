package scaledown

import (
	"slices"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// mover finds other places for pods. The nodes that stay anyway are tried first,
// then the candidates, those last that are decided on first: an empty one may go
// itself.
type mover struct {
	p       *planner
	targets []int32
	// candidates is how many of the targets, the last ones, are candidates.
	candidates int
	// ways: class ID -> the nodes that its pods may still go to; arrivals the
	// same for pods that wait, which may also go to capacity on its way.
	ways, arrivals []*way
	// staying are the targets, waiting the same for pods that wait.
	staying, waiting *fit.Shelf
}

// way is a class on its way to other nodes.
type way struct {
	batch *fit.Batch
	nodes *fit.Candidates
}

func newMover(p *planner, candidates []*candidate, order []*run) *mover {
	m := &mover{p: p, ways: make([]*way, p.s.MaxClassID()), arrivals: make([]*way, p.s.MaxClassID())}
	candidate := make([]bool, p.l.Len())
	for _, c := range candidates {
		candidate[c.at] = true
	}
	for at, n := range p.s.Nodes() {
		if n.Unusable == "" && n.Kind == cluster.Joined && !candidate[at] {
			m.targets = append(m.targets, int32(at))
		}
	}
	for _, r := range slices.Backward(order) {
		for _, c := range r.lastFirst() {
			if c.node.Unusable == "" {
				m.targets = append(m.targets, c.at)
				m.candidates++
			}
		}
	}
	return m
}

func (m *mover) arrival(c *cluster.Class) *way {
	if m.arrivals[c.ID] == nil {
		b := m.p.l.Batch(c, 0)
		if m.waiting == nil {
			// Nodes that stay anyway, capacity on its way, and candidates at last.
			stay := len(m.targets) - m.candidates
			m.waiting = m.p.l.Shelf(slices.Concat(m.targets[:stay], m.coming(), m.targets[stay:]))
		}
		m.arrivals[c.ID] = &way{b, m.waiting.LastingCandidates(b)}
	}
	return m.arrivals[c.ID]
}

// coming are the nodes that are on their way.
func (m *mover) coming() []int32 {
	var nodes []int32
	for at, n := range m.p.s.Nodes() {
		if n.Unusable == "" && n.Kind != cluster.Joined {
			nodes = append(nodes, int32(at))
		}
	}
	return nodes
}

func (m *mover) way(c *cluster.Class) *way {
	if m.ways[c.ID] == nil {
		b := m.p.l.Batch(c, 0)
		if m.staying == nil {
			m.staying = m.p.l.Shelf(m.targets)
		}
		m.ways[c.ID] = &way{b, m.staying.LastingCandidates(b)}
	}
	return m.ways[c.ID]
}

// move places the pods of a node that was removed, each on the first node that it
// fits on, and returns the homes; or the first pod that finds none, with nothing
// changed in what is known about the nodes. The caller reverts the ledger then.
func (m *mover) move(pods []cluster.Pod) (homes []int32, stuck *cluster.Pod) {
	var used []*way
	for i := range pods {
		w := m.way(pods[i].Class)
		if !slices.Contains(used, w) {
			used = append(used, w)
			w.nodes.Mark()
		}
		w.batch.Left = 1
		n := w.nodes.PlaceOne()
		if n < 0 {
			for _, w := range used {
				w.nodes.Reset()
			}
			return nil, &pods[i]
		}
		homes = append(homes, n)
	}
	return homes, nil
}

// reset forgets what the last move found out.
func (m *mover) reset(pods []cluster.Pod) {
	for i := range pods {
		m.way(pods[i].Class).nodes.Reset()
	}
}

// wait places a pod that waits for a node, -1 when it fits nowhere.
func (m *mover) wait(pod *cluster.Pod) int32 {
	w := m.arrival(pod.Class)
	w.batch.Left = 1
	return w.nodes.PlaceOne()
}
