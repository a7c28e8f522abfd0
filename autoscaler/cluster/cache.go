package cluster

import (
	"cmp"
	"slices"
	"sync"

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
	pods      map[types.NamespacedName]*tracked
	unbound   waiting
	spare     []*tracked // room for pods to come
	daemons   []daemon
	// daemonsGen counts the changes of daemons.
	daemonsGen int
	// local: group -> what its nodes told; localGen counts the changes.
	local    map[string]*local
	localGen int
	// memos: node name -> the daemon pods that it is still to get.
	memos map[string]daemonMemo
}

// Pod is a pod with its class.
type Pod struct {
	*corev1.Pod
	Class *Class
	// what is worked out when the pod is read: reading it again would be waiting
	// for memory again.
	is facts
}

// Nominated reports whether the scheduler is making room for the pod on a node.
func (p *Pod) Nominated() bool { return p.is&nominated != 0 }

// tracked is what the cache remembers of one pod.
type tracked struct {
	Pod
	node string // that it is bound to; empty when it is not, or has ended
	// waits is the pod's place among the waiting ones, -1 when it is not one.
	waits int
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
	// ofNode are those that each node of the group has, as of that version.
	ofNode   []NodePod
	ofNodeAt int
}

// NewCache makes an empty Cache.
func NewCache() *Cache {
	return &Cache{
		classes: newClasses(), nodes: map[string]*corev1.Node{}, residents: map[string]*residents{},
		pods: map[types.NamespacedName]*tracked{}, memos: map[string]daemonMemo{},
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
	p := Pod{Pod: pod, is: factsOf(pod)}
	if p.is&ended == 0 {
		p.Class = c.classes.of(pod)
	}
	c.set(p)
}

// SetPods is SetPod for many pods at once: their classes are looked up on all
// processors.
func (c *Cache) SetPods(pods []*corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.classes.each(pods, c.set)
}

// set takes the state of a pod, without a class when it has ended.
func (c *Cache) set(p Pod) {
	key := Key(p.Pod)
	t := c.pods[key]
	if t == nil {
		t = c.newTracked()
		c.pods[key] = t
	}
	old := *t
	t.Pod, t.node = p, ""
	if p.Class != nil {
		t.node = p.Spec.NodeName
	}
	c.move(&old, t)
	if old.Class != nil {
		c.classes.release(old.Class)
	}
}

// newTracked makes room for one more pod. Room is made for many at once and is
// used again when pods go.
func (c *Cache) newTracked() *tracked {
	if len(c.spare) == 0 {
		room := make([]tracked, 64)
		for i := range room {
			c.spare = append(c.spare, &room[i])
		}
	}
	t := c.spare[len(c.spare)-1]
	c.spare = c.spare[:len(c.spare)-1]
	*t = tracked{waits: -1}
	return t
}

// DeletePod forgets a pod.
func (c *Cache) DeletePod(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.pods[key]
	if t == nil {
		return
	}
	old := *t
	t.Pod, t.node = Pod{}, ""
	c.move(&old, t)
	delete(c.pods, key)
	c.spare = append(c.spare, t)
	if old.Class != nil {
		c.classes.release(old.Class)
	}
}

// move takes a pod from where it was to where it is.
func (c *Cache) move(old, now *tracked) {
	switch {
	case old.node != "" && old.node == now.node:
		c.residentsOf(now.node).replace(old.Pod, now.Pod)
		return
	case old.node != "":
		if r := c.residents[old.node]; r.remove(old.Pod) == 0 {
			delete(c.residents, old.node)
		}
	}
	if now.node != "" {
		c.residentsOf(now.node).add(now.Pod)
	}
	switch waiting := now.node == "" && now.Class != nil && now.is&waits != 0; {
	case waiting && now.waits >= 0:
		c.unbound[now.waits] = now
	case waiting:
		now.waits = len(c.unbound)
		c.unbound = append(c.unbound, now)
	case now.waits >= 0:
		c.unbound.remove(now)
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
type waiting []*tracked

func (w *waiting) remove(t *tracked) {
	list := *w
	last := len(list) - 1
	list[t.waits] = list[last]
	list[t.waits].waits = t.waits
	list[last] = nil
	*w, t.waits = list[:last], -1
}

// sorted gives the pods by namespace and name.
func (w waiting) sorted() []Pod {
	out := make([]Pod, len(w))
	for i, t := range w {
		out[i] = t.Pod
	}
	slices.SortFunc(out, func(a, b Pod) int { return ComparePods(a.Pod, b.Pod) })
	return out
}

// load is SetPods for a cache that nobody sets or deletes pods of afterwards: it
// remembers where they are, but not which they are.
func (c *Cache) load(pods []*corev1.Pod) {
	c.classes.each(pods, func(p Pod) {
		switch {
		case p.Class == nil:
		case p.is&bound != 0:
			c.residentsOf(p.Spec.NodeName).add(p)
		case p.is&waits != 0:
			t := c.newTracked()
			t.Pod = p
			c.unbound = append(c.unbound, t)
		}
	})
}

// setDaemons takes all DaemonSets of the cluster; c.mu is held.
func (c *Cache) setDaemons(in *Input) {
	admission := newAdmission(in)
	var daemons []daemon
	for _, ds := range in.DaemonSets {
		if ds.DeletionTimestamp == nil {
			daemons = append(daemons, newDaemon(ds, c.classes, admission))
		}
	}
	slices.SortFunc(daemons, func(a, b daemon) int {
		return cmp.Or(ComparePods(&a.pod, &b.pod), cmp.Compare(a.pod.GenerateName, b.pod.GenerateName))
	})
	// The class follows from what the API server makes of the pod.
	if !slices.EqualFunc(daemons, c.daemons, func(a, b daemon) bool { return a.set == b.set && a.class == b.class }) {
		c.daemonsGen++
	}
	for _, d := range c.daemons {
		c.classes.release(d.class)
	}
	c.daemons = daemons
}
