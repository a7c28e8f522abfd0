package fit

import (
	"slices"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// verdict says whether a pod fits on a node, or what is the first thing that
// speaks against it.
type verdict uint8

const (
	fits verdict = iota
	// badNode: the node is unusable or its labels and taints do not suit.
	badNode
	// noRoom: too little is left of a resource, or a host port is taken.
	noRoom
	// badHost: a term about pods on the same host speaks against it, and goes on
	// to do so whatever is added elsewhere.
	badHost
	// badDomain: a term about a wider domain speaks against it.
	badDomain
	// uneven: a spread constraint over a wider domain speaks against it now.
	uneven
	// unevenHost: one over hosts does.
	unevenHost
)

// check tells whether one more pod of the class fits on the node now.
func (l *Ledger) check(k *class, n int32) verdict {
	nd := &l.nodes[n]
	if nd.gone {
		return badNode
	}
	if !covers(l.Free(n), k.req) {
		return noRoom
	}
	if nd.state.Unusable != "" || !l.static.allows(k.need, nd.kind) {
		return badNode
	}
	if len(k.ports) > 0 && conflict(k.ports, nd.ports) || len(k.named) > 0 && !l.attaches(k, n) {
		return noRoom
	}
	return l.checkTerms(k, n)
}

func (l *Ledger) checkTerms(k *class, n int32) verdict {
	at := int(n) * len(l.keys)
	if k.pinned && l.place[at+int(k.pinKey)] != k.pin {
		return badDomain
	}
	for _, list := range [2][]*tally{k.far, k.shunned} {
		for _, t := range list {
			if d := l.place[at+t.key]; d >= 0 && t.at(d) > 0 {
				if t.key == l.hosts {
					return badHost
				}
				return badDomain
			}
		}
	}
	if len(k.near) > 0 {
		if v := l.checkNear(k, at); v != fits {
			return v
		}
	}
	v := fits
	for _, s := range k.spreads {
		if s.allows(l.place[at+s.counts.key]) {
			continue
		}
		if s.counts.key != l.hosts {
			return uneven
		}
		v = unevenHost
	}
	return v
}

// checkNear tells whether the pods that the affinity terms ask for are there, or
// are nowhere yet and the pod is one of them.
func (l *Ledger) checkNear(k *class, at int) verdict {
	v, anywhere := fits, false
	for _, t := range k.near {
		d := l.place[at+t.key]
		if d < 0 {
			return badNode
		}
		if t.at(d) == 0 && v != badDomain {
			v = badDomain
			if t.key == l.hosts {
				v = badHost
			}
		}
		anywhere = anywhere || t.total > 0
	}
	if !anywhere && k.selfNear {
		return fits
	}
	return v
}

func conflict(a, b []cluster.HostPort) bool {
	for _, p := range a {
		for _, q := range b {
			if p.Conflicts(q) {
				return true
			}
		}
	}
	return false
}

// takes reports whether a pod of the class suits the node and has room there,
// whatever other pods say.
func (l *Ledger) takes(k *class, n int32) bool {
	nd := &l.nodes[n]
	return !nd.gone && covers(l.Free(n), k.req) && nd.state.Unusable == "" && l.static.allows(k.need, nd.kind)
}

// covers reports whether what is free suffices for a request.
func covers(free, req []int64) bool {
	for d, q := range req {
		if q > free[d] && q > 0 {
			return false
		}
	}
	return true
}

// roomIn is how many such requests fit into what is free.
func roomIn(free, req []int64) int64 {
	least := int64(1) << 31
	for d, q := range req {
		if q <= 0 {
			continue
		}
		if free[d] < q {
			return 0
		}
		least = min(least, free[d]/q)
	}
	return least
}

// put changes the books for n more pods of the class on the node, or fewer.
func (l *Ledger) put(k *class, node, n int32) {
	free := l.Free(node)
	for d, q := range k.req {
		free[d] -= int64(n) * q
	}
	if len(k.ports) > 0 {
		l.putPorts(&l.nodes[node], k.ports, n)
	}
	if len(k.named) > 0 {
		l.putNamed(k, node, n)
	}
	if bumps := l.bumpsOf(k.c); len(bumps) > 0 {
		l.count(bumps, node, n, k.ending)
	}
}

func (l *Ledger) putPorts(nd *node, ports []cluster.HostPort, n int32) {
	for ; n > 0; n-- {
		nd.ports = append(nd.ports, ports...)
	}
	for ; n < 0; n++ {
		for _, p := range ports {
			if i := slices.Index(nd.ports, p); i >= 0 {
				nd.ports = slices.Delete(nd.ports, i, i+1)
			}
		}
	}
}

// placeOn puts n pods of the class on the node.
func (l *Ledger) placeOn(k *class, node, n int32) {
	l.put(k, node, n)
	l.log = append(l.log, change{placed, k, node, n})
}

// Open adds a new node of the group in a zone, as the group's instance would be,
// and returns it. The group must have a template.
func (l *Ledger) Open(group, zone string) int32 {
	p := l.prototype(group, zone)
	n := l.push(p.state, p.kind, p.free, p.cap, p.place)
	if l.hosts >= 0 {
		l.place[int(n)*len(l.keys)+l.hosts] = l.domainOf(l.hosts, newHost(n))
	}
	if len(p.ports) > 0 {
		l.nodes[n].ports = slices.Clone(p.ports)
	}
	l.addToDomains(n)
	l.countOn(n, 1)
	zones := l.added[group]
	if zones == nil {
		zones = map[string]int{}
		l.added[group] = zones
	}
	zones[zone]++
	l.log = append(l.log, change{what: opened, node: n})
	return n
}

// OpenNext adds a new node of the group in the zone that the group would choose.
func (l *Ledger) OpenNext(group string) int32 {
	return l.Open(group, l.NextZone(group))
}

// NextZone predicts the zone of the group's next instance, see
// cluster.Snapshot.NextZone.
func (l *Ledger) NextZone(group string) string { return l.s.NextZone(group, l.added[group]) }

// newHost names the domain of a new node's host name. No label has a NUL in it.
func newHost(n int32) string {
	return string([]byte{0, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
}

// pop takes back the last Open.
func (l *Ledger) pop() {
	n := int32(len(l.nodes) - 1)
	st := l.nodes[n].state
	l.countOn(n, -1)
	l.removeFromDomains(n)
	l.added[st.Group][st.Zone]--
	l.nodes = l.nodes[:n]
	l.free = l.free[:int(n)*len(l.dims)]
	l.capacity = l.capacity[:int(n)*len(l.dims)]
	l.place = l.place[:int(n)*len(l.keys)]
}

func (l *Ledger) prototype(group, zone string) *prototype {
	at := [2]string{group, zone}
	if p := l.proto[at]; p != nil {
		return p
	}
	st := l.s.Imagine(group, "planned-"+group, zone)
	r := len(l.dims)
	p := &prototype{state: st, kind: l.static.kindOfNew(st, group), free: make([]int64, r), cap: make([]int64, r), place: make([]int32, len(l.keys))}
	l.measure(st, p.free, p.cap, make([]int64, r))
	for k, key := range l.keys {
		p.place[k] = l.domain(k, st.Node().Labels, key)
	}
	for i := range st.Daemons {
		p.ports = append(p.ports, st.Daemons[i].Class.Ports...)
	}
	l.proto[at] = p
	return p
}

// Remove takes a node with its pods out. Pods that the plan has put there must
// have been taken back.
func (l *Ledger) Remove(n int32) {
	l.nodes[n].gone = true
	l.countOn(n, -1)
	l.removeFromDomains(n)
	l.log = append(l.log, change{what: removed, node: n})
}

func (l *Ledger) restore(n int32) {
	l.nodes[n].gone = false
	l.addToDomains(n)
	l.countOn(n, 1)
}

// evict takes a pod that the snapshot has on the node off it, once.
func (l *Ledger) evict(p cluster.Pod, n int32) {
	if slices.ContainsFunc(l.log, func(ch change) bool { return ch.what == freed && ch.class.evicted == p.Pod }) {
		return
	}
	k := &class{c: p.Class, req: l.requests(l.s.WithVolumes(p)), ports: p.Class.Ports, ending: p.DeletionTimestamp != nil, evicted: p.Pod}
	l.put(k, n, -1)
	l.log = append(l.log, change{freed, k, n, 1})
}

// find gives the node of that name, -1 when there is none.
func (l *Ledger) find(name string) int32 {
	if l.s.Node(name) == nil {
		return -1
	}
	return int32(slices.IndexFunc(l.nodes, func(n node) bool { return n.state.Name() == name }))
}
