package labels

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/joinery/joinery/internal/wait"
)

// Run labels Nodes until ctx ends. It is driven by a watch: a Node is looked at
// when it appears or changes, and again, with growing pauses, while AWS does not
// know enough about it.
func (l *Labeler) Run(ctx context.Context) error {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry)
	l.queue, l.known = workqueue.NewTypedRateLimitingQueue(limiter), map[string]verdict{}
	factory := informers.NewSharedInformerFactoryWithOptions(l.deps.Client, 0, informers.WithTransform(slim))
	nodes := factory.Core().V1().Nodes()
	seen := func(o any) {
		if n, ok := o.(*corev1.Node); ok {
			l.queue.Add(n.Name)
		}
	}
	_, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: seen, UpdateFunc: func(_, o any) { seen(o) },
		DeleteFunc: func(o any) {
			if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = last.Obj
			}
			seen(o)
		},
	})
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	defer context.AfterFunc(ctx, l.queue.ShutDown)()
	for {
		names, down := l.batch(ctx)
		if down {
			return ctx.Err()
		}
		l.process(ctx, names, nodes.Lister())
	}
}

// batch waits for Nodes that changed.
func (l *Labeler) batch(ctx context.Context) (names []string, down bool) {
	first, down := l.queue.Get()
	if down {
		return nil, true
	}
	names = append(names, first)
	if wait.For(ctx, gather) != nil {
		return nil, true
	}
	for len(names) < most && l.queue.Len() > 0 {
		name, down := l.queue.Get()
		if down {
			return nil, true
		}
		names = append(names, name)
	}
	return names, false
}

func (l *Labeler) process(ctx context.Context, names []string, lister corelisters.NodeLister) {
	var nodes []Node
	for _, name := range names {
		n, err := lister.Get(name)
		if err != nil { // the cache says only that there is none
			delete(l.known, name)
			l.queue.Forget(name)
			continue
		}
		if node, ok := nodeOf(n); ok {
			nodes = append(nodes, node)
		}
	}
	again, err := l.look(ctx, nodes)
	if err != nil && ctx.Err() == nil {
		l.deps.Log.Error("label nodes", "error", err)
	}
	retry := map[string]bool{}
	for _, name := range again {
		retry[name] = true
	}
	for _, name := range names {
		l.queue.Done(name)
		if retry[name] {
			l.queue.AddRateLimited(name)
		} else {
			l.queue.Forget(name)
		}
	}
}
