package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
)

// observer sees what happens at the API server and in the simulated AWS, as a
// user of both would, and keeps when it saw it.
type observer struct {
	timeline *timeline
	world    *awssim.World
	cluster  string

	mu    sync.Mutex // guards everything that follows
	nodes map[string]*corev1.Node
	pods  map[string]*corev1.Pod // namespace/name -> pod
	// registered, ready: node name -> when it was first seen so.
	registered, ready map[string]time.Time
	// reports is node name -> what its agent said last.
	reports map[string]*v1alpha1.NodeReport
	// told is uid -> Event of the autoscaler.
	told map[types.UID]*corev1.Event
	// unschedulable is pod -> when it was first seen to be so.
	unschedulable map[string]time.Time
	calls         int // how many calls of the world have been looked at
	published     []publication
	peak          int
}

// publication is one successful write of the join bundle.
type publication struct {
	at time.Time
	id string
}

func newObserver(t *timeline, w *awssim.World, cluster string) *observer {
	return &observer{timeline: t, world: w, cluster: cluster, nodes: map[string]*corev1.Node{}, pods: map[string]*corev1.Pod{},
		registered: map[string]time.Time{}, ready: map[string]time.Time{}, reports: map[string]*v1alpha1.NodeReport{}, told: map[types.UID]*corev1.Event{}, unschedulable: map[string]time.Time{}}
}

// watch follows the cluster until ctx ends. It returns when the first lists
// have been seen.
func (o *observer) watch(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	for _, watch := range []struct {
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{factory.Core().V1().Nodes().Informer(), handler(o.node, o.nodeGone)},
		{factory.Core().V1().Pods().Informer(), handler(o.pod, o.podGone)},
		{factory.Core().V1().Events().Informer(), handler(o.event, func(*corev1.Event, time.Time) {})},
		{factory.Core().V1().Secrets().Informer(), handler(o.secret, o.secretGone)},
	} {
		if _, err := watch.informer.AddEventHandler(watch.handler); err != nil {
			return fmt.Errorf("watch cluster: %w", err)
		}
	}
	factory.Start(ctx.Done())
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return fmt.Errorf("watch %s: %w", kind, context.Cause(ctx))
		}
	}
	return nil
}

// handler calls seen for what is or becomes, and gone for what is deleted.
func handler[T any](seen, gone func(T, time.Time)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { call(seen, obj) },
		UpdateFunc: func(_, obj any) { call(seen, obj) },
		DeleteFunc: func(obj any) {
			if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = last.Obj
			}
			call(gone, obj)
		},
	}
}

func call[T any](f func(T, time.Time), obj any) {
	if o, ok := obj.(T); ok {
		f(o, time.Now())
	}
}

func (o *observer) node(n *corev1.Node, now time.Time) {
	if kube.ControlPlane(n) {
		return
	}
	o.mu.Lock()
	before := o.nodes[n.Name]
	o.nodes[n.Name] = n
	o.peak = max(o.peak, len(o.nodes))
	if _, seen := o.registered[n.Name]; !seen {
		o.registered[n.Name] = now
	}
	if r, err := v1alpha1.DecodeNodeReport([]byte(n.Annotations[v1alpha1.NodeReportAnnotation])); err == nil {
		o.reports[n.Name] = r
	}
	_, seenReady := o.ready[n.Name]
	nowReady := !seenReady && kube.KubeletReady(n)
	if nowReady {
		o.ready[n.Name] = now
	}
	o.mu.Unlock()
	if before == nil {
		o.timeline.enter(n.Name, now, joining)
		o.timeline.add(Event{now, "kubernetes", shortName(n.Name), "Node registered"})
	}
	if nowReady {
		o.timeline.enter(n.Name, now, ready)
		o.timeline.add(Event{now, "kubernetes", shortName(n.Name), "Node Ready"})
	}
	if was, is := claim(before), claim(n); was != is && is != "" {
		o.timeline.add(Event{now, "agent", shortName(n.Name), "ScaleDownReady: " + is})
	}
	if !tainted(before) && tainted(n) {
		o.timeline.enter(n.Name, now, draining)
		o.timeline.add(Event{now, "kubernetes", shortName(n.Name), "chosen to go, drain begins"})
	}
}

func (o *observer) nodeGone(n *corev1.Node, now time.Time) {
	o.mu.Lock()
	delete(o.nodes, n.Name)
	o.mu.Unlock()
	o.timeline.enter(n.Name, now, gone)
	o.timeline.add(Event{now, "kubernetes", shortName(n.Name), "Node object deleted"})
}

func (o *observer) pod(p *corev1.Pod, now time.Time) {
	key := p.Namespace + "/" + p.Name
	o.mu.Lock()
	o.pods[key] = p
	_, seen := o.unschedulable[key]
	first := !seen && unschedulable(p)
	if first {
		o.unschedulable[key] = now
	}
	o.mu.Unlock()
	if first {
		o.timeline.add(Event{now, "kubernetes", p.Name, "pod unschedulable"})
	}
	o.sayPods()
}

func (o *observer) podGone(p *corev1.Pod, _ time.Time) {
	o.mu.Lock()
	delete(o.pods, p.Namespace+"/"+p.Name)
	o.mu.Unlock()
	o.sayPods()
}

func (o *observer) event(e *corev1.Event, now time.Time) {
	if e.Reason != "NotTriggerScaleUp" && e.Reason != "TriggeredScaleUp" && e.Reason != "ScaleDown" {
		return
	}
	o.mu.Lock()
	_, seen := o.told[e.UID]
	o.told[e.UID] = e
	o.mu.Unlock()
	if !seen {
		o.timeline.add(Event{now, "kubernetes", shortName(e.InvolvedObject.Name), e.Reason + ": " + e.Message})
	}
}

func (o *observer) secret(s *corev1.Secret, now time.Time) {
	id, ours := o.tokenID(s)
	if !ours {
		return
	}
	o.mu.Lock()
	for _, p := range o.published {
		if p.id == id {
			o.mu.Unlock()
			return
		}
	}
	o.published = append(o.published, publication{at: now, id: id})
	o.mu.Unlock()
	o.timeline.add(Event{now, "kubernetes", "token " + id, "made"})
}

func (o *observer) secretGone(s *corev1.Secret, now time.Time) {
	if id, ours := o.tokenID(s); ours {
		o.timeline.add(Event{now, "kubernetes", "token " + id, "deleted"})
	}
}

func (o *observer) tokenID(s *corev1.Secret) (string, bool) {
	id, token := strings.CutPrefix(s.Name, kube.BootstrapTokenPrefix)
	return id, token && s.Labels[v1alpha1.ClusterLabel] == o.cluster
}

func (o *observer) sayPods() {
	o.mu.Lock()
	running, all := 0, 0
	for _, p := range o.pods {
		if p.Namespace != metav1.NamespaceDefault {
			continue
		}
		all++
		if p.Status.Phase == corev1.PodRunning {
			running++
		}
	}
	o.mu.Unlock()
	o.timeline.say(fmt.Sprintf("pods running: %d of %d", running, all))
}

// claim returns the agent's word on whether the node may go, "" without one.
func claim(n *corev1.Node) string {
	if n == nil {
		return ""
	}
	if c := kube.Condition(n, v1alpha1.ScaleDownReady); c != nil {
		return string(c.Status) + " (" + c.Reason + ")"
	}
	return ""
}

func tainted(n *corev1.Node) bool { return n != nil && kube.Marked(n) }

func unschedulable(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return true
		}
	}
	return false
}
