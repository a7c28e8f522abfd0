package asg

import "sync"

// memory keeps what two nodes or more of a type agreed on, so that one of them that
// is left alone later cannot tell another story. It is in memory only; nil keeps
// nothing. It is safe for concurrent use.
type memory struct {
	mu     sync.Mutex // guards byType
	byType map[string]remembered
}

// learnedOf names what was learned: of which type, launch template version and image.
type learnedOf struct{ kind, version, image string }

type remembered struct {
	of learnedOf
	learned
}

// settle returns what holds after nodes told l. What two or more told is kept; what
// one alone told holds only while nothing is kept of the same type, version and
// image.
func (m *memory) settle(of learnedOf, nodes int, l learned) learned {
	if m == nil {
		return l
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have, ok := m.byType[of.kind]
	switch {
	case nodes > 1:
		if m.byType == nil {
			m.byType = map[string]remembered{}
		}
		m.byType[of.kind] = remembered{of, l}
	case ok && have.of == of:
		return have.learned
	}
	return l
}
