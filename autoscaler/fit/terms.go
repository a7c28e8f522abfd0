package fit

import (
	"k8s.io/apimachinery/pkg/labels"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// away is one anti-affinity term, whoever has it: where the pods are that it is
// about, and where those are that have it.
type away struct {
	term            *cluster.Term
	targets, owners tally
	// heeded says that some class of the plan is kept away by the owners.
	heeded bool
}

// setTerms makes the counts that the classes' terms ask for.
func (l *Ledger) setTerms(residents []*cluster.Class) {
	if l.static.ask.enabled(names.InterPodAffinity) {
		l.setAway(residents)
		l.setNear()
	}
	if l.static.ask.enabled(names.PodTopologySpread) {
		shared := map[string]*domains{}
		for _, k := range l.classes {
			l.setSpread(k, shared)
		}
		for n := range l.nodes {
			l.addToDomains(int32(n))
		}
	}
}

func (l *Ledger) setAway(residents []*cluster.Class) {
	byText := map[string]*away{}
	find := func(t *cluster.Term) *away {
		a := byText[t.Text]
		if a == nil {
			key := l.keyOf(t.TopologyKey)
			a = &away{term: t, targets: tally{key: key}, owners: tally{key: key}}
			byText[t.Text] = a
		}
		return a
	}
	var owners matchers
	watch := func(c *cluster.Class) {
		for i := range c.AntiAffinity {
			if t := &c.AntiAffinity[i]; byText[t.Text] == nil {
				a := find(t)
				owners.add(&matcher{terms: c.AntiAffinity[i : i+1], to: []bump{{tally: &a.owners}}})
			}
		}
	}
	for _, k := range l.classes {
		watch(k.c)
	}
	for _, c := range residents {
		watch(c)
	}
	heeded := map[*tally]bool{}
	for _, k := range l.classes {
		owners.find(k.c.Exemplar, l.s.NamespaceLabels(k.c.Exemplar.Namespace), func(m *matcher) {
			k.shunned = append(k.shunned, m.to[0].tally)
			heeded[m.to[0].tally] = true
		})
	}
	l.away = byText
	wanted := map[*away]bool{}
	for _, k := range l.classes {
		for i := range k.c.AntiAffinity {
			a := find(&k.c.AntiAffinity[i])
			k.far = append(k.far, &a.targets)
			if !wanted[a] {
				wanted[a] = true
				l.index.add(&matcher{terms: k.c.AntiAffinity[i : i+1], to: []bump{{tally: &a.targets}}})
			}
		}
	}
	for _, a := range byText {
		a.heeded = heeded[&a.owners]
	}
}

// setNear makes the counts of affinity terms. Classes with the same terms share
// them.
func (l *Ledger) setNear() {
	shared := map[string][]*tally{}
	for _, k := range l.classes {
		terms := k.c.Affinity
		if len(terms) == 0 {
			continue
		}
		text := ""
		for i := range terms {
			text += terms[i].Text
		}
		m := &matcher{terms: terms}
		k.near = shared[text]
		if k.near == nil {
			for i := range terms {
				t := &tally{key: l.keyOf(terms[i].TopologyKey)}
				k.near = append(k.near, t)
				m.to = append(m.to, bump{tally: t})
			}
			shared[text] = k.near
			l.index.add(m)
		}
		k.selfNear = m.about(k.c.Exemplar, l.s.NamespaceLabels(k.c.Exemplar.Namespace))
	}
}

func (l *Ledger) setSpread(k *class, shared map[string]*domains) {
	var keys []int
	for i := range k.c.Spread {
		keys = append(keys, l.keyOf(k.c.Spread[i].TopologyKey))
	}
	for i := range k.c.Spread {
		c := &k.c.Spread[i]
		s := &spread{
			domains: l.domainsOf(k, i, keys, shared), counts: tally{key: keys[i]},
			maxSkew: int32(c.MaxSkew), minDomains: int32(c.MinDomains),
			self: c.Selector.Matches(labels.Set(k.c.Exemplar.Labels)),
		}
		s.domains.spreads = append(s.domains.spreads, s)
		k.spreads = append(k.spreads, s)
		// The scheduler counts nothing for a selector that is empty.
		if !c.Selector.Empty() {
			l.index.add(&matcher{namespace: k.c.Exemplar.Namespace, selector: c.Selector, to: []bump{{spread: s}}})
		}
	}
}

// domainsOf gives the domains of the class's i-th constraint.
func (l *Ledger) domainsOf(k *class, i int, keys []int, shared map[string]*domains) *domains {
	c := &k.c.Spread[i]
	d := &domains{nodes: tally{key: keys[i]}, keys: keys, pod: k.need.pod, honorAffinity: c.HonorNodeAffinity, honorTaints: c.HonorTaints}
	text := []byte{0, 0}
	if d.honorAffinity {
		text[0] = 1
	}
	if d.honorTaints {
		text[1] = 1
	}
	for _, key := range append(keys[:len(keys):len(keys)], keys[i]) {
		text = append(text, byte(key), byte(key>>8))
	}
	if d.honorAffinity || d.honorTaints {
		text = append(text, k.need.key...)
	}
	if have := shared[string(text)]; have != nil {
		return have
	}
	shared[string(text)] = d
	l.domains = append(l.domains, d)
	return d
}

func (l *Ledger) addToDomains(n int32) {
	for _, d := range l.domains {
		if l.eligible(d, n) {
			d.add(l.place[int(n)*len(l.keys)+d.nodes.key])
		}
	}
}

func (l *Ledger) removeFromDomains(n int32) {
	for _, d := range l.domains {
		if l.eligible(d, n) {
			d.remove(l.place[int(n)*len(l.keys)+d.nodes.key])
		}
	}
}

// eligible reports whether the node counts for constraints: it has all the labels,
// and their policies do not leave it out.
func (l *Ledger) eligible(s *domains, n int32) bool {
	at := int(n) * len(l.keys)
	for _, k := range s.keys {
		if l.place[at+k] == none {
			return false
		}
	}
	kind := l.nodes[n].kind
	for int(kind) >= len(s.eligible) {
		s.eligible = append(s.eligible, s.honors(l.static.nodes[len(s.eligible)].Node()))
	}
	return s.eligible[kind]
}

// honors reports whether nodes like this one count under the constraint's
// policies towards node affinity and taints.
func (s *domains) honors(node *corev1.Node) bool {
	if s.honorAffinity {
		if ok, err := nodeaffinity.GetRequiredNodeAffinity(s.pod).Match(node); err == nil && !ok {
			return false
		}
	}
	if s.honorTaints {
		_, untolerated := corev1helpers.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, s.pod.Spec.Tolerations,
			func(t *corev1.Taint) bool {
				return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
			}, true)
		return !untolerated
	}
	return true
}

// bumpsOf gives what a pod of the class is counted in, whether or not the plan
// places pods of that class.
func (l *Ledger) bumpsOf(c *cluster.Class) []bump {
	for c.ID >= len(l.known) {
		l.known, l.bumped, l.byID = append(l.known, false), append(l.bumped, nil), append(l.byID, nil)
	}
	if l.known[c.ID] {
		return l.bumped[c.ID]
	}
	var out []bump
	l.index.find(c.Exemplar, l.s.NamespaceLabels(c.Exemplar.Namespace), func(m *matcher) { out = append(out, m.to...) })
	for i := range c.AntiAffinity {
		if a := l.away[c.AntiAffinity[i].Text]; a != nil && a.heeded {
			out = append(out, bump{tally: &a.owners})
		}
	}
	l.known[c.ID], l.bumped[c.ID] = true, out
	return out
}

// countResidents counts the pods that are on the nodes.
func (l *Ledger) countResidents() {
	if l.index.empty() && len(l.away) == 0 {
		return
	}
	for i := range l.nodes {
		l.countOn(int32(i), 1)
	}
}

// countOn counts the pods that the snapshot has on a node in, or out with n -1.
func (l *Ledger) countOn(node, n int32) {
	st := l.nodes[node].state
	for _, list := range [2][]cluster.Pod{st.Residents, st.Daemons} {
		for i := range list {
			if bumps := l.bumpsOf(list[i].Class); len(bumps) > 0 {
				l.count(bumps, node, n, list[i].DeletionTimestamp != nil)
			}
		}
	}
}

// count adds n pods to the counts. Spread constraints leave ending pods out, as
// the scheduler does.
func (l *Ledger) count(bumps []bump, node, n int32, ending bool) {
	at := int(node) * len(l.keys)
	for _, b := range bumps {
		switch {
		case b.tally != nil:
			b.tally.add(l.place[at+b.tally.key], n)
		case !ending && l.eligible(b.spread.domains, node):
			b.spread.addPods(l.place[at+b.spread.counts.key], n)
		}
	}
}
