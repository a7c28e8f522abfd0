package act

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown"
)

// Annotate writes on the Nodes since when they have been unneeded, so that a
// restart forgets nothing, and clears it from those that are needed. Only what
// differs from what was observed is written. A node that is being removed keeps
// what it says.
func (e *Executor) Annotate(ctx context.Context, d scaledown.Decision) error {
	want := make(map[string]*string, len(d.Unneeded)+len(d.Needed)) // node -> text; nil: none
	for _, n := range d.Needed {
		if n.Cause != scaledown.BeingDeleted {
			want[n.Node] = nil
		}
	}
	for node, since := range d.Unneeded {
		text := since.UTC().Format(time.RFC3339)
		want[node] = &text
	}
	maps.DeleteFunc(want, func(node string, text *string) bool { return !e.differs(node, text) })
	names := slices.Sorted(maps.Keys(want))
	errs := make([]error, len(names))
	inParallel(len(names), func(i int) {
		p := &nodePatch{Metadata: patchMeta{Annotations: map[string]*string{v1alpha1.UnneededSinceAnnotation: want[names[i]]}}}
		if err := e.patch(ctx, names[i], p); err != nil {
			errs[i] = fmt.Errorf("annotate node %s: %w", names[i], err)
		}
	})
	return errors.Join(errs...)
}

// differs says whether the observed node says something else. A node that is
// not observed any more needs no annotation.
func (e *Executor) differs(node string, text *string) bool {
	n, err := e.o.Nodes.Get(node)
	if err != nil {
		return false
	}
	have, ok := n.Annotations[v1alpha1.UnneededSinceAnnotation]
	if text == nil {
		return ok
	}
	return have != *text
}

// maxWrites bounds the writes of one kind that are under way at once.
const maxWrites = 8

// inParallel calls f(0) to f(n-1), maxWrites at once, and returns after the last.
func inParallel(n int, f func(i int)) {
	slots := make(chan struct{}, maxWrites)
	var calls sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	calls.Wait()
}
