package cluster

import (
	"cmp"
	"slices"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Cache is the picture of the cluster that informers keep up to date, so that no
// round of the autoscaler adds up the world anew: the pods of each node with
// their classes and sums, and the pods that wait for a node. A Snapshot of it
// costs in proportion to the nodes and the waiting pods, not to all pods. It is
// safe for concurrent use.
type Cache struct {
	mu      sync.Mutex // guards what follows
	classes *classes
	nodes   map[string]*corev1.Node
	// residents: node name -> the pods bound to it, whether the node is known or
	// not: events of pods and nodes come in no order.
	residents map[string]*residents
	pods      map[types.NamespacedName]tracked
	unbound   waiting
	daemons   []daemon
	// daemonsGen counts the changes of daemons.
	daemonsGen int
	// memos: node name -> the daemon pods that it is still to get.
	memos map[string]daemonMemo
}

// Pod is a pod with its class.
type Pod struct {
	*corev1.Pod
	Class *Class
}

// tracked is what the cache remembers of one pod.
type tracked struct {
	Pod
	node string // that it is bound to; empty when it is not, or has ended
}

// residents are the pods of one node, by namespace and name once sealed.
type residents struct {
	pods []Pod
	used Amounts
	// sealed: a snapshot holds the slice, which must not be changed any more.
	sealed bool
	sorted bool
	// version counts the changes.
	version int
}

// NewCache makes an empty Cache.
func NewCache() *Cache {
	return &Cache{
		classes: newClasses(), nodes: map[string]*corev1.Node{}, residents: map[string]*residents{},
		pods: map[types.NamespacedName]tracked{}, memos: map[string]daemonMemo{},
		unbound: waiting{at: map[types.NamespacedName]int{}},
	}
}

// SetNode adds a node or takes its new state.
func (c *Cache) SetNode(n *corev1.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[n.Name] = n
}

// DeleteNode forgets a node. Pods that are bound to it stay known.
func (c *Cache) DeleteNode(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, name)
	delete(c.memos, name)
}

// SetPod adds a pod or takes its new state.
func (c *Cache) SetPod(pod *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setPod(pod)
}

func (c *Cache) setPod(pod *corev1.Pod) {
	key := Key(pod)
	old, known := c.pods[key]
	now := tracked{Pod: Pod{Pod: pod}}
	if !Terminal(pod) {
		now.Class, now.node = c.classes.of(pod), pod.Spec.NodeName
	}
	c.place(key, old, now, known)
	c.pods[key] = now
	if known && old.Class != nil {
		c.classes.release(old.Class)
	}
}

// DeletePod forgets a pod.
func (c *Cache) DeletePod(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, known := c.pods[key]
	if !known {
		return
	}
	c.place(key, old, tracked{}, true)
	delete(c.pods, key)
	if old.Class != nil {
		c.classes.release(old.Class)
	}
}

// place moves a pod from where it was to where it is.
func (c *Cache) place(key types.NamespacedName, old, now tracked, known bool) {
	if known && old.node != "" {
		if old.node == now.node && old.UID == now.UID {
			c.residentsOf(now.node).replace(old.Pod, now.Pod)
			return
		}
		if r := c.residents[old.node]; r.remove(old.Pod) == 0 {
			delete(c.residents, old.node)
		}
	}
	switch {
	case now.node != "":
		c.unbound.remove(key)
		c.residentsOf(now.node).add(now.Pod)
	case now.Class != nil && unbound(now.Pod.Pod):
		c.unbound.set(key, now.Pod)
	default:
		c.unbound.remove(key)
	}
}

func (c *Cache) residentsOf(node string) *residents {
	r := c.residents[node]
	if r == nil {
		r = &residents{sorted: true}
		c.residents[node] = r
	}
	return r
}

// own makes the slice changeable.
func (r *residents) own() {
	r.version++
	if r.sealed {
		r.pods = slices.Clone(r.pods)
		r.used.Scalar = slices.Clone(r.used.Scalar)
		r.sealed = false
	}
}

func (r *residents) add(p Pod) {
	r.own()
	r.sorted = r.sorted && (len(r.pods) == 0 || ComparePods(r.pods[len(r.pods)-1].Pod, p.Pod) < 0)
	r.pods = append(r.pods, p)
	r.used.add(&p.Class.Requests, 1)
}

func (r *residents) remove(p Pod) (left int) {
	r.own()
	i := slices.IndexFunc(r.pods, func(q Pod) bool { return q.Pod == p.Pod })
	r.pods = slices.Delete(r.pods, i, i+1)
	r.used.add(&p.Class.Requests, -1)
	return len(r.pods)
}

func (r *residents) replace(old, now Pod) {
	r.own()
	i := slices.IndexFunc(r.pods, func(q Pod) bool { return q.Pod == old.Pod })
	r.pods[i] = now
	if old.Class != now.Class {
		r.used.add(&old.Class.Requests, -1)
		r.used.add(&now.Class.Requests, 1)
	}
}

// seal sorts the pods and promises not to change the slice any more.
func (r *residents) seal() {
	if !r.sorted {
		slices.SortFunc(r.pods, func(a, b Pod) int { return ComparePods(a.Pod, b.Pod) })
		r.sorted = true
	}
	r.sealed = true
}

// waiting are the pods without a node.
type waiting struct {
	pods []Pod
	at   map[types.NamespacedName]int // place in pods
}

func (w *waiting) set(key types.NamespacedName, p Pod) {
	if i, ok := w.at[key]; ok {
		w.pods[i] = p
		return
	}
	w.at[key] = len(w.pods)
	w.pods = append(w.pods, p)
}

func (w *waiting) remove(key types.NamespacedName) {
	i, ok := w.at[key]
	if !ok {
		return
	}
	last := len(w.pods) - 1
	w.pods[i] = w.pods[last]
	w.at[Key(w.pods[i].Pod)] = i
	w.pods[last] = Pod{}
	w.pods = w.pods[:last]
	delete(w.at, key)
}

// sorted gives the pods by namespace and name.
func (w *waiting) sorted() []Pod {
	out := slices.Clone(w.pods)
	slices.SortFunc(out, func(a, b Pod) int { return ComparePods(a.Pod, b.Pod) })
	return out
}

// SetDaemonSets takes all DaemonSets of the cluster.
func (c *Cache) SetDaemonSets(sets []*appsv1.DaemonSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var daemons []daemon
	for _, ds := range sets {
		if ds.DeletionTimestamp == nil {
			daemons = append(daemons, newDaemon(ds, c.classes))
		}
	}
	slices.SortFunc(daemons, func(a, b daemon) int {
		return cmp.Or(ComparePods(&a.pod, &b.pod), cmp.Compare(a.pod.GenerateName, b.pod.GenerateName))
	})
	for _, d := range c.daemons {
		c.classes.release(d.class)
	}
	if !slices.EqualFunc(daemons, c.daemons, func(a, b daemon) bool { return a.set == b.set }) {
		c.daemonsGen++
	}
	c.daemons = daemons
}
