package asg

import "sync"

// memory keeps what nodes of each type told last, also when none of them is left, and so
// that one of several that is left alone later cannot tell another story. nil keeps
// nothing. It is safe for concurrent use.
type memory struct {
	mu      sync.Mutex // guards what follows
	byType  map[string]remembered
	changes int // of byType
}

// learnedOf names what was learned: of which type, launch template version and image.
type learnedOf struct{ kind, version, image string }

type remembered struct {
	of learnedOf
	// nodes is how many told it: one alone, or two for several.
	nodes int
	learned
}

// recall returns what is kept of a type, version and image, and how many nodes told it; 0
// for nothing. Without an image, that of any image is returned: which one the next
// instance gets is not known where the version does not fix it.
func (m *memory) recall(of learnedOf) (learned, int) {
	if m == nil {
		return learned{}, 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.byType[of.kind]
	if have.of.version != of.version || of.image != "" && have.of.image != of.image {
		return learned{}, 0
	}
	return have.learned, have.nodes
}

// settle returns what holds after nodes told l, and keeps it. What one alone told holds
// only while nothing is kept of the same type, version and image that more nodes told.
func (m *memory) settle(of learnedOf, nodes int, l learned) learned {
	if m == nil {
		return l
	}
	if have, told := m.recall(of); told > 1 && nodes == 1 {
		return have
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byType == nil {
		m.byType = map[string]remembered{}
	}
	now := remembered{of, min(nodes, 2), l}
	if !now.same(m.byType[of.kind]) {
		m.changes++
	}
	m.byType[of.kind] = now
	return l
}
