package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
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
	guard      *join.Guard
	looked     time.Time // when the guard was last given an answer
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

// New returns a Publisher for the Node that g guards. holds returns what holds
// the node; after an error of it the holds seen before stay in force beside what
// it could read, and until it has worked once the node counts as held.
func New(client cluster, g *join.Guard, holds func(ctx context.Context) (Holds, error), s supervisor, log *slog.Logger) *Publisher {
	return &Publisher{
		client: client, name: g.Name, guard: g, holds: holds, supervisor: s, log: log,
		writer: writer{nodes: client.Nodes(), name: g.Name},
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

// kept of the Node is what Decide and the writer read.
var kept = kube.KeptNode{Conditions: []corev1.NodeConditionType{corev1.NodeReady, v1alpha1.ScaleDownReady}, Taints: true}

// Run watches the node, its pods and what holds it, and publishes every change
// within a second or so, until ctx ends, which is no error, or the Node is lost:
// the error is a *join.LostError then. What cannot be written is tried again each
// second.
func (p *Publisher) Run(ctx context.Context, r v1alpha1.NodeReport) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news := make(chan struct{}, 1)
	pods, podsRun := informer(p.podSource(), &corev1.Pod{}, kube.SlimPod, news)
	nodes, nodesRun := informer(p.nodeSource(), &corev1.Node{}, kept.Slim, news)
	go podsRun.RunWithContext(ctx)
	go nodesRun.RunWithContext(ctx)
	tick := time.NewTicker(look)
	defer tick.Stop()
	p.supervisor.Status("watching node " + p.name)
	for {
		p.supervisor.Expect(patience + time.Minute)
		if podsRun.HasSynced() && nodesRun.HasSynced() {
			err := p.round(ctx, pods, nodes, r)
			p.note(err)
			if lost := p.doubt(ctx, ownNode(nodes), err); lost != nil {
				return lost
			}
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
	v := Decide(node, ownPods(pods), holds, time.Now())
	if !p.known {
		v = sum(Verdict{v1alpha1.InhibitorHeld, "it could not be read yet whether all holds are known"}, v)
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

// doubt has the guard judge once the store or a write says that the Node is not
// what it was. The store may be old, so the API server is asked; at rest that
// costs nothing.
func (p *Publisher) doubt(ctx context.Context, node *corev1.Node, err error) *join.LostError {
	sound := node != nil && (p.guard.UID == "" || string(node.UID) == p.guard.UID) && !apierrors.IsUnauthorized(err) && !apierrors.IsNotFound(err)
	if sound && !p.guard.Doubts() {
		p.guard.Observe(node, nil, time.Now())
		return nil
	}
	if time.Since(p.looked) < p.guard.Pace() {
		return nil
	}
	p.looked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	node, err = p.client.Nodes().Get(ctx, p.name, metav1.GetOptions{})
	lost := p.guard.Observe(node, err, time.Now())
	if lost == nil && p.guard.Doubts() {
		p.supervisor.Status("node " + p.name + " seems to be lost: looking again")
	}
	return lost
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
