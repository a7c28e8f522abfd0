package loop

import (
	"context"
	"errors"
	"time"

	"github.com/joinery/joinery/internal/durable"
)

// learnedEntry is where what the groups' nodes told is kept for the next leader.
const learnedEntry = "learned"

// learnedEvery is how often that is written at most.
const learnedEvery = time.Minute

// expectedEntry is where the ledger of expectations is kept.
const expectedEntry = "expectations"

// expectedEvery is how often that is written at most, but for what was just asked for:
// that is written before anything else can happen to this leader.
const expectedEvery = 30 * time.Second

// memory keeps over a change of leader what the groups' nodes told, without which a
// group that came down to zero would look as its template says again, and what was
// expected of launches, without which a new leader would repeat the failed ones. It is
// of the loop's goroutine only.
type memory struct {
	store   *durable.Store
	read    bool      // what an earlier leader kept
	changes int       // asg.Client.Changes of what is kept
	written time.Time // when it was

	expected   string // as it is kept
	expectedAt time.Time
	launched   bool // something was asked for since
}

// recall reads once what an earlier leader kept. That fails with the API server, and is
// tried again then; what cannot be read is left out.
func (l *Loop) recall(ctx context.Context) {
	if l.memory.read {
		return
	}
	learned, err := l.memory.store.Read(ctx, learnedEntry)
	expected, err2 := l.memory.store.Read(ctx, expectedEntry)
	if err := errors.Join(err, err2); err != nil {
		l.o.Log.Warn("recall what an earlier leader knew", "error", err)
		return
	}
	l.memory.read, l.memory.expected = true, expected
	if err := l.groups.Recall(learned); err != nil {
		l.o.Log.Warn("recall what nodes told", "error", err)
	}
	if expected == "" {
		return
	}
	if err := l.expect.Restore([]byte(expected)); err != nil {
		l.o.Log.Warn("recall what was expected of launches", "error", err)
	}
}

// rememberExpectations writes down what is expected of launches, when it has changed.
// An error is logged only: the next round writes again.
func (l *Loop) rememberExpectations(ctx context.Context, now time.Time) {
	if !l.memory.read || !l.memory.launched && now.Sub(l.memory.expectedAt) < expectedEvery {
		return
	}
	text, err := l.expect.State(durable.MaxEntry)
	if err == nil && string(text) != l.memory.expected {
		err = l.memory.store.Write(ctx, expectedEntry, string(text))
	}
	if err != nil {
		l.o.Log.Warn("write down what is expected of launches", "error", err)
		return
	}
	l.memory.expected, l.memory.expectedAt, l.memory.launched = string(text), now, false
}

// remember writes down what the nodes told, when it has changed. An error is logged only:
// it costs a forecast of the next leader.
func (l *Loop) remember(ctx context.Context, now time.Time) {
	changes := l.groups.Changes()
	if !l.memory.read || changes == l.memory.changes || now.Sub(l.memory.written) < learnedEvery {
		return
	}
	l.memory.written = now
	text, err := l.groups.Learned(durable.MaxEntry)
	if err == nil {
		err = l.memory.store.Write(ctx, learnedEntry, text)
	}
	if err != nil {
		l.o.Log.Warn("write down what nodes told", "error", err)
		return
	}
	l.memory.changes = changes
}
