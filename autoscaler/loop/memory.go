package loop

import (
	"context"
	"time"

	"github.com/joinery/joinery/internal/durable"
)

// learnedEntry is where what the groups' nodes told is kept for the next leader.
const learnedEntry = "learned"

// learnedEvery is how often that is written at most.
const learnedEvery = time.Minute

// memory keeps what the groups' nodes told over a change of leader. Without it, a group
// that came down to zero would look as its template says again. It is of the loop's
// goroutine only.
type memory struct {
	store   *durable.Store
	read    bool      // what an earlier leader kept
	changes int       // asg.Client.Changes of what is kept
	written time.Time // when it was
}

// recall reads once what an earlier leader kept. That fails with the API server, and is
// tried again then; what cannot be read is left out.
func (l *Loop) recall(ctx context.Context) {
	if l.memory.read {
		return
	}
	text, err := l.memory.store.Read(ctx, learnedEntry)
	if err == nil {
		l.memory.read = true
		err = l.groups.Recall(text)
	}
	if err != nil {
		l.o.Log.Warn("recall what nodes told", "error", err)
	}
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
