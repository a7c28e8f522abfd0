package act

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/drain"
)

// RecordUnneeded writes on the Nodes since when they have been unneeded, so that a
// restart forgets nothing, and clears it from those that are needed. Only what
// differs from what was observed is written. A node that is being removed keeps
// what it says.
func (e *Executor) RecordUnneeded(ctx context.Context, d scaledown.Decision) error {
	want := make(map[string]*string, len(d.Unneeded)+len(d.Needed)) // node -> text; nil: none
	for _, n := range d.Needed {
		if n.Cause != scaledown.BeingDeleted {
			want[n.Node] = nil
		}
	}
	for node, since := range d.Unneeded {
		text := strconv.FormatInt(since.Unix(), 10)
		want[node] = &text
	}
	uids := make(map[string]types.UID, len(want))
	maps.DeleteFunc(want, func(node string, text *string) bool {
		n, differs := e.differs(node, text)
		if differs {
			uids[node] = n.UID
		}
		return !differs
	})
	names := slices.Sorted(maps.Keys(want))
	errs := make([]error, len(names))
	inParallel(len(names), func(i int) {
		name := names[i]
		if err := drain.Label(ctx, e.o.Kube, name, uids[name], v1alpha1.UnneededSinceLabel, want[name]); err != nil {
			errs[i] = fmt.Errorf("record unneeded node %s: %w", name, err)
		}
	})
	return errors.Join(errs...)
}

// differs says whether the observed node's label says something else. A node that
// is not observed any more needs none.
func (e *Executor) differs(node string, text *string) (*corev1.Node, bool) {
	n, err := e.o.Nodes.Get(node)
	if err != nil {
		return nil, false
	}
	have, ok := n.Labels[v1alpha1.UnneededSinceLabel]
	if text == nil {
		return n, ok
	}
	return n, have != *text
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
