package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/api/v1alpha1"
)

// look is how often holds are read: neither a directory nor logind says by
// itself that a hold came or went. It also bounds how late a failed write is
// tried again.
const look = time.Second

// patience is what one round may take before it is given up.
const patience = 20 * time.Second

// supervisor is told how the publishing goes.
type supervisor interface {
	Status(text string)
	Expect(d time.Duration)
}

// cluster is the part of a client that reads and writes our own objects.
type cluster interface {
	corev1client.NodesGetter
	corev1client.PodsGetter
}

// Publisher keeps the report of one node fresh.
type Publisher struct {
	client     cluster
	name       string
	holds      func(ctx context.Context) (Holds, error)
	supervisor supervisor
	log        *slog.Logger
	writer     writer

	// what was seen last, so that only news is logged
	verdict Verdict
	trouble string
	kept    Holds
	known   bool // holds were read without an error at least once
}

// New returns a Publisher for the Node of that name. holds returns what holds
// the node; after an error of it the holds seen before stay in force beside what
// it could read, and until it has worked once the node counts as held.
func New(client cluster, name string, holds func(ctx context.Context) (Holds, error), s supervisor, log *slog.Logger) *Publisher {
	return &Publisher{
		client: client, name: name, holds: holds, supervisor: s, log: log,
		writer: writer{nodes: client.Nodes(), name: name},
	}
}

// First publishes r once, so that the boot does not count as done before the
// node's word can be heard.
func (p *Publisher) First(ctx context.Context, r v1alpha1.NodeReport) error {
	node, err := p.client.Nodes().Get(ctx, p.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read own node: %w", err)
	}
	p.writer.adopt(node)
	return p.writer.report(ctx, r, time.Now())
}

// Run watches the node, its pods and what holds it, and publishes every change
// within a second or so, until ctx ends. What cannot be written is tried again
// each second.
func (p *Publisher) Run(ctx context.Context, r v1alpha1.NodeReport) error {
	news := make(chan struct{}, 1)
	pods, podsRun := informer(p.podSource(), &corev1.Pod{}, slimPod, news)
	nodes, nodesRun := informer(p.nodeSource(), &corev1.Node{}, slimNode, news)
	go podsRun.RunWithContext(ctx)
	go nodesRun.RunWithContext(ctx)
	tick := time.NewTicker(look)
	defer tick.Stop()
	p.supervisor.Status("watching node " + p.name)
	for {
		p.supervisor.Expect(patience + time.Minute)
		if podsRun.HasSynced() && nodesRun.HasSynced() {
			p.note(p.round(ctx, pods, nodes, r))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		case <-tick.C:
		}
	}
}

// round looks once and publishes what is news.
func (p *Publisher) round(ctx context.Context, pods, nodes cache.Store, r v1alpha1.NodeReport) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	node := ownNode(nodes)
	if node == nil {
		return fmt.Errorf("node %s: there is no such Node: was it deleted?", p.name)
	}
	p.writer.adopt(node)
	holds, unread := p.holds(ctx)
	if unread != nil {
		unread = fmt.Errorf("read holds: %w", unread)
		holds = p.kept.with(holds)
	}
	p.kept, p.known = holds, p.known || unread == nil
	v := Decide(node, ownPods(pods), holds)
	if !p.known && v.Reason.Ready() {
		v = Verdict{v1alpha1.InhibitorHeld, "it could not be read yet whether anything holds the node"}
	}
	if v != p.verdict {
		p.log.Info("scale-down readiness", "reason", v.Reason, "message", v.Message)
		p.supervisor.Status(fmt.Sprintf("node %s: %s: %s", p.name, v.Reason, v.Message))
		p.verdict = v
	}
	if err := p.writer.condition(ctx, v, time.Now()); err != nil {
		return errors.Join(unread, err)
	}
	r.Holds = holds.names()
	return errors.Join(unread, p.writer.report(ctx, r, time.Now()))
}

// note logs trouble when it comes and when it goes, not every second.
func (p *Publisher) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == p.trouble {
		return
	}
	if err != nil {
		p.log.Warn("publish node report", "error", err)
	} else {
		p.log.Info("publish node report: works again")
	}
	p.trouble = text
}

func ownNode(store cache.Store) *corev1.Node {
	for _, o := range store.List() {
		if n, ok := o.(*corev1.Node); ok {
			return n
		}
	}
	return nil
}

func ownPods(store cache.Store) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, o := range store.List() {
		if p, ok := o.(*corev1.Pod); ok {
			pods = append(pods, p)
		}
	}
	return pods
}

// podSource lists and watches the pods of this node alone: a kubelet may read
// no others (AuthorizeNodeWithSelectors).
func (p *Publisher) podSource() cache.ListerWatcher {
	pods := p.client.Pods(metav1.NamespaceAll)
	mine := fields.OneTermEqualSelector("spec.nodeName", p.name).String()
	return source(p.client, mine, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) }, pods.Watch)
}

func (p *Publisher) nodeSource() cache.ListerWatcher {
	nodes := p.client.Nodes()
	mine := fields.OneTermEqualSelector("metadata.name", p.name).String()
	return source(p.client, mine, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return nodes.List(ctx, o) }, nodes.Watch)
}

func source(client any, selector string, list cache.ListWithContextFunc, follow cache.WatchFuncWithContext) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return list(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return follow(ctx, o)
		},
	}, client)
}

// informer keeps a store in step with its source and rings news at each change.
func informer(from cache.ListerWatcher, kind runtime.Object, slim cache.TransformFunc, news chan<- struct{}) (cache.Store, cache.Controller) {
	ring := func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	return cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: from, ObjectType: kind, Transform: slim,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { ring() }, UpdateFunc: func(any, any) { ring() }, DeleteFunc: func(any) { ring() },
		},
	})
}
