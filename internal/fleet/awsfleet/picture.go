package awsfleet

import (
	"context"
	"sync"
	"time"
)

// picture is an answer of AWS that is shared for as long as it is young enough.
type picture[T any] struct {
	now func() time.Time
	// turn is held by who is asking AWS.
	turn chan struct{}

	mu sync.Mutex // guards what follows
	// changes counts own writes: an answer that was asked for before the last of
	// them is not kept.
	changes int
	at      time.Time // when value was asked for; zero for none
	look    int       // number of the question that value answers
	looks   int       // questions so far
	value   T
}

func newPicture[T any](now func() time.Time) picture[T] {
	return picture[T]{now: now, turn: make(chan struct{}, 1)}
}

// get returns what is known, or asks when that is older than maxAge, and the number
// of the question: an answer with the same number is the same one. Waiting for another's question ends with ctx; its answer will do for
// a maxAge of 0 only if it was asked for after this call began.
func (p *picture[T]) get(ctx context.Context, maxAge time.Duration, ask func(context.Context) (T, error)) (T, int, error) {
	var none T
	from := p.now().Add(-maxAge)
	if value, look, ok := p.since(from); ok {
		return value, look, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return none, 0, ctx.Err()
	}
	if value, look, ok := p.since(from); ok {
		return value, look, nil
	}
	p.mu.Lock()
	p.looks++
	changes, at, look := p.changes, p.now(), p.looks
	p.mu.Unlock()
	value, err := ask(ctx)
	if err != nil {
		return none, 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changes == changes {
		p.value, p.at, p.look = value, at, look
	}
	return value, look, nil
}

// since returns the value if it was asked for at from or later. A look with no age
// at all is never answered by one that was asked for at the same moment: coarse
// clocks stand still between two calls.
func (p *picture[T]) since(from time.Time) (T, int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.value, p.look, !p.at.IsZero() && p.at.After(from)
}

func (p *picture[T]) outdate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes++
	p.at = time.Time{}
}

// pools are the pictures of the groups' warm pools.
type pools struct {
	now func() time.Time

	mu     sync.Mutex // guards byName
	byName map[string]*picture[poolMembers]
}

func (p *pools) of(group string) *picture[poolMembers] {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName == nil {
		p.byName = map[string]*picture[poolMembers]{}
	}
	found, ok := p.byName[group]
	if !ok {
		made := newPicture[poolMembers](p.now)
		found = &made
		p.byName[group] = found
	}
	return found
}

func (p *pools) outdate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byName = nil
}
