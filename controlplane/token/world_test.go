package token_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/token"
)

// world is a rotator's surroundings in memory.
type world struct {
	mu        sync.Mutex
	published *v1alpha1.JoinBundle
	modified  time.Time
	unfit     error // what Check says
	fail      error
	lost      bool // Put stores, but its answer is an error
	rotations []token.Reason
	deleted   []string
	troubles  []error
	puts      int
	expires   time.Time // as told to the observer
}

// bundle is what is published.
func (w *world) bundle() *v1alpha1.JoinBundle {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.published
}

// id is the id of the published token.
func (w *world) id() string { return w.bundle().Token.Reveal()[:6] }

func (w *world) Get(context.Context) (bundle.Stored, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return bundle.Stored{}, w.fail
	}
	if w.published == nil {
		return bundle.Stored{}, &bundle.NotFoundError{Parameter: "/joinery/demo/join"}
	}
	b := *w.published
	return bundle.Stored{Bundle: &b, Version: int64(w.puts), Modified: w.modified}, nil
}

func (w *world) Put(_ context.Context, b *v1alpha1.JoinBundle) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.puts++
	if w.fail != nil {
		return 0, w.fail
	}
	w.published, w.modified = b, time.Now()
	if w.lost {
		w.lost = false
		return 0, errors.New("connection reset")
	}
	return int64(w.puts), nil
}

func (w *world) Check(*v1alpha1.JoinBundle) error { return w.unfit }

func (w *world) Cluster(context.Context) (bundle.Cluster, error) { return facts, nil }

func (w *world) Rotated(r token.Reason) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rotations = append(w.rotations, r)
}

func (w *world) Published(_, expires time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expires = expires
}

func (w *world) Deleted(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deleted = append(w.deleted, id)
}

func (w *world) Trouble(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.troubles = append(w.troubles, err)
}

func (w *world) set(change func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

func (w *world) seen() []token.Reason {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.rotations)
}
