package fit

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// class is a class of pods in the ledger's terms.
type class struct {
	c    *cluster.Class
	need *need
	req  []int64 // by Ledger.dims
	// ports that the pods take of their node.
	ports []cluster.HostPort
	// named are volumes that count on a node once, however many pods use them.
	named []namedVolume

	spreads []*spread
	// far: where pods are that these must keep away from; shunned: where pods are
	// that keep these away.
	far, shunned []*tally
	// near: for each affinity term, where pods are that match all of them.
	near []*tally
	// selfNear says that the pods match their own affinity terms.
	selfNear bool
	// pinned: the pods go to domain pin of topology key pinKey only.
	pinned      bool
	pinKey, pin int32
	// evicted is the resident that it stands for, one that makes room; ending says
	// that it is ending.
	evicted *corev1.Pod
	ending  bool
}

// plain reports whether only labels, taints and resources decide where the pods
// fit, so that each of them leaves the others' chances as they were.
func (c *class) plain() bool {
	return len(c.spreads)+len(c.far)+len(c.shunned)+len(c.near)+len(c.ports)+len(c.named) == 0
}

// compile brings a class into the ledger's form, all but its terms.
func (l *Ledger) compile(c *cluster.Class) {
	if l.byID[c.ID] != nil {
		return
	}
	k := &class{c: c, need: l.static.needOf(c), req: l.requests(c)}
	if l.static.ask.enabled(names.NodePorts) {
		k.ports = c.Ports
	}
	l.nameVolumes(k)
	l.byID[c.ID] = k
	l.classes = append(l.classes, k)
}

func (l *Ledger) requests(c *cluster.Class) []int64 {
	req := make([]int64, len(l.dims))
	l.vector(&c.Requests, req)
	if c.Volumes != nil {
		for _, a := range c.Volumes.Attach {
			if i := slices.Index(l.dims[l.drivers:], corev1.ResourceName(a.Driver)); i >= 0 {
				req[l.drivers+i] += a.Count
			}
		}
	}
	for i, name := range l.dims[:l.drivers] {
		if l.static.ask.ignores(name) {
			req[i] = 0
		}
	}
	return req
}

// matcher finds the pods that a term or constraint is about.
type matcher struct {
	// terms must all match. Without terms it is a spread constraint's selector in
	// one namespace.
	terms     []cluster.Term
	namespace string
	selector  labels.Selector
	to        []bump
}

// bump is a count that a pod adds to.
type bump struct {
	spread *spread
	tally  *tally
}

type pair struct{ key, value string }

// matchers are indexed by a label that the pods must have, so that a class looks
// only at those that may be about it.
type matchers struct {
	byPair  map[pair][]*matcher
	general []*matcher
}

func (m *matchers) add(x *matcher) {
	if m.byPair == nil {
		m.byPair = map[pair][]*matcher{}
	}
	selector := x.selector
	if len(x.terms) > 0 {
		selector = x.terms[0].Selector
	}
	if requirements, ok := selector.Requirements(); ok {
		for i := range requirements {
			if values := requirements[i].ValuesUnsorted(); len(values) == 1 && requirements[i].Operator() != "!=" && requirements[i].Operator() != "notin" && requirements[i].Operator() != "gt" && requirements[i].Operator() != "lt" {
				p := pair{requirements[i].Key(), values[0]}
				m.byPair[p] = append(m.byPair[p], x)
				return
			}
		}
	}
	m.general = append(m.general, x)
}

func (m *matchers) empty() bool { return len(m.byPair) == 0 && len(m.general) == 0 }

// find calls f for each matcher that is about the pod.
func (m *matchers) find(pod *corev1.Pod, namespace labels.Set, f func(*matcher)) {
	if m.empty() {
		return
	}
	for k, v := range pod.Labels {
		for _, x := range m.byPair[pair{k, v}] {
			if x.about(pod, namespace) {
				f(x)
			}
		}
	}
	for _, x := range m.general {
		if x.about(pod, namespace) {
			f(x)
		}
	}
}

func (x *matcher) about(pod *corev1.Pod, namespace labels.Set) bool {
	if len(x.terms) == 0 {
		return pod.Namespace == x.namespace && x.selector.Matches(labels.Set(pod.Labels))
	}
	for i := range x.terms {
		if !x.terms[i].Matches(pod, namespace) {
			return false
		}
	}
	return true
}

// termsOfResidents finds the classes on the nodes that keep other pods away.
func (l *Ledger) termsOfResidents() []*cluster.Class {
	var out []*cluster.Class
	seen := make([]bool, len(l.byID))
	for _, st := range l.s.Nodes() {
		for _, list := range [2][]cluster.Pod{st.Residents, st.Daemons} {
			for i := range list {
				if c := list[i].Class; len(c.AntiAffinity) > 0 && !seen[c.ID] {
					seen[c.ID] = true
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// setKeys gathers the topology keys of all terms.
func (l *Ledger) setKeys(residents []*cluster.Class) {
	add := func(key string) {
		if !slices.Contains(l.keys, key) {
			l.keys = append(l.keys, key)
		}
	}
	for _, k := range l.classes {
		for i := range k.c.Spread {
			add(k.c.Spread[i].TopologyKey)
		}
		for _, list := range [2][]cluster.Term{k.c.Affinity, k.c.AntiAffinity} {
			for i := range list {
				add(list[i].TopologyKey)
			}
		}
	}
	for _, c := range residents {
		for i := range c.AntiAffinity {
			add(c.AntiAffinity[i].TopologyKey)
		}
	}
	slices.Sort(l.keys)
	l.hosts = slices.Index(l.keys, corev1.LabelHostname)
	l.names = make([]map[string]int32, len(l.keys))
	for i := range l.names {
		l.names[i] = map[string]int32{}
	}
}

func (l *Ledger) keyOf(key string) int { return slices.Index(l.keys, key) }
