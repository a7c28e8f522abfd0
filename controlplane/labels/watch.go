package labels

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/observe"
)

// Run labels Nodes until ctx ends. It is driven by a watch: a Node is looked at
// when it appears or changes, and again, with growing pauses, while AWS does not
// know enough about it.
func (l *Labeler) Run(ctx context.Context) error {
	l.known = map[string]verdict{}
	queue := drive.NewQueue[string](drive.Backoff{First: firstRetry, Last: lastRetry})
	defer queue.ShutDown()
	seen := func(o any) {
		if n, ok := o.(*corev1.Node); ok {
			queue.Add(n.Name)
		}
	}
	stop, err := l.deps.Store.FollowNodes(ctx, cache.ResourceEventHandlerFuncs{
		AddFunc: seen, UpdateFunc: func(_, o any) { seen(o) }, DeleteFunc: func(o any) { seen(observe.Deleted(o)) },
	})
	if err != nil {
		return fmt.Errorf("follow nodes: %w", err)
	}
	defer stop()
	return drive.Keys[string]{
		Name: "labels", Queue: queue, Work: l.label, Most: most, Gather: gather, Timeout: timeout, Meter: l.deps.Meter, Log: l.deps.Log,
	}.Run(ctx)
}

// label looks at the Nodes of these names; it returns those to look at again.
func (l *Labeler) label(ctx context.Context, names []string) (again []string, err error) {
	var nodes []Node
	lister := l.deps.Store.Nodes()
	for _, name := range names {
		n, err := lister.Get(name)
		if err != nil { // the cache says only that there is none
			delete(l.known, name)
			continue
		}
		if node, ok := nodeOf(n); ok {
			nodes = append(nodes, node)
		}
	}
	return l.look(ctx, nodes)
}
