package fit

import (
	"encoding/binary"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// NewAt names new nodes of a group in a zone.
type NewAt struct{ Group, Zone string }

// NewCapacity is what a new node of the group has when it is empty, by Dims. It
// must not be changed.
func (l *Ledger) NewCapacity(group, zone string) []int64 { return l.prototype(group, zone).cap }

// NewFree is what DaemonSets leave of a new node of the group, by Dims. It must not be
// changed.
func (l *Ledger) NewFree(group, zone string) []int64 { return l.prototype(group, zone).free }

// NewShape is the same for new nodes that are alike to a Filler.
func (l *Ledger) NewShape(group, zone string) string {
	p := l.prototype(group, zone)
	buf := binary.AppendVarint(nil, int64(p.kind))
	for d := range p.free {
		buf = binary.AppendVarint(buf, p.free[d])
		buf = binary.AppendVarint(buf, p.cap[d])
	}
	return string(buf)
}

// NextZones predicts the zones of the group's next instances, as many as it has
// zones.
func (l *Ledger) NextZones(group string) []string {
	n := max(1, len(l.s.Group(group).Zones))
	if n == 1 {
		return []string{l.NextZone(group)}
	}
	added := map[string]int{}
	for zone, count := range l.added[group] {
		added[zone] = count
	}
	zones := make([]string, n)
	for i := range zones {
		zones[i] = l.s.NextZone(group, added)
		added[zones[i]]++
	}
	return zones
}

// Added is how many nodes of the group the plan has opened in the zone.
func (l *Ledger) Added(group, zone string) int { return l.added[group][zone] }

// RoomNew is how many pods of the batch labels, taints and resources of a new
// node allow.
func (l *Ledger) RoomNew(b *Batch, group, zone string) int64 {
	p := l.prototype(group, zone)
	if !l.static.allows(b.k.need, p.kind) {
		return 0
	}
	return roomIn(p.free, b.k.req)
}

// LoadOfNew is what a new node would best be filled with, see LoadOf.
func (f *Filler) LoadOfNew(group, zone string) Load {
	p := f.l.prototype(group, zone)
	return f.LoadOf(p.free, p.cap, p.kind)
}

// Takes reports whether the whole load fits on the node.
func (f *Filler) Takes(load Load, n int32) bool {
	copy(f.free, f.l.Free(n))
	for i, count := range load {
		if count == 0 {
			continue
		}
		if !f.l.static.allows(f.items[i].k.need, f.l.nodes[n].kind) {
			return false
		}
		for d, q := range f.items[i].k.req {
			if f.free[d] -= int64(count) * q; q > 0 && f.free[d] < 0 {
				return false
			}
		}
	}
	return true
}

// Worth is the share of the demand of the batch and of the Filler that a new node
// would answer: pods of the batch first, then others in the rest. whole is the
// share that it could answer if nothing of it were wasted.
func (l *Ledger) Worth(b *Batch, f *Filler, group, zone string) (worth, whole float64) {
	p := l.prototype(group, zone)
	n := min(l.RoomNew(b, group, zone), int64(b.Left))
	if b.k.alone() {
		n = min(n, 1)
	}
	if n == 0 {
		return 0, 0
	}
	free := make([]int64, len(p.free))
	for d, q := range b.k.req {
		free[d] = p.free[d] - n*q
	}
	load := f.LoadOf(free, p.cap, p.kind)
	for i, count := range load {
		for d, q := range f.items[i].k.req {
			free[d] -= int64(count) * q
		}
	}
	for d, q := range b.k.req[:l.drivers] {
		demand := f.weight[d] + float64(b.Left)*float64(q)
		if demand > 0 {
			worth += float64(p.free[d]-free[d]) / demand
			whole += float64(p.cap[d]) / demand
		}
	}
	return worth, whole
}

// alone reports whether no two of the class's pods may share a host.
func (k *class) alone() bool {
	if len(k.ports) > 0 {
		return true
	}
	for i := range k.c.AntiAffinity {
		t := &k.c.AntiAffinity[i]
		if t.TopologyKey == corev1.LabelHostname && t.Matches(k.c.Exemplar, nil) {
			return true
		}
	}
	return false
}

// Crowd is how many pods that the batch spreads from are in the domains of a new
// node; the most crowded of its domains counts.
func (l *Ledger) Crowd(b *Batch, group, zone string) int32 {
	p := l.prototype(group, zone)
	most := int32(0)
	for _, s := range b.k.spreads {
		if s.counts.key != l.hosts {
			most = max(most, s.counts.at(p.place[s.counts.key]))
		}
	}
	return most
}

// Phantoms are domains that count for a batch's spread constraints though they
// have no node yet.
type Phantoms struct{ list []phantom }

type phantom struct {
	spread *spread
	domain int32
}

// Reach makes the domains of possible new nodes count for the batch until they are
// withdrawn. Host names do not: each new node has its own.
func (l *Ledger) Reach(b *Batch, nodes []NewAt) *Phantoms {
	ph := &Phantoms{}
	for _, s := range b.k.spreads {
		if s.counts.key == l.hosts {
			continue
		}
		for _, at := range nodes {
			d := l.prototype(at.Group, at.Zone).place[s.counts.key]
			if d != none && s.domains.nodes.at(d) == 0 && !slices.Contains(s.phantoms, d) {
				s.appear(d)
				s.phantoms = append(s.phantoms, d)
				ph.list = append(ph.list, phantom{s, d})
			}
		}
	}
	return ph
}

// Any reports whether some are left.
func (ph *Phantoms) Any() bool { return len(ph.list) > 0 }

// Withdraw takes them all back.
func (ph *Phantoms) Withdraw() {
	for _, p := range ph.list {
		s := p.spread
		s.phantoms = slices.DeleteFunc(s.phantoms, func(d int32) bool { return d == p.domain })
		if s.domains.nodes.at(p.domain) == 0 {
			s.vanish(p.domain)
		}
	}
	ph.list = nil
}

// Nominate puts a pod on the node where the scheduler is making room for it
// (status.nominatedNodeName, preemption), if it fits there once the pods of lower
// priority that are ending there are gone, which then count as gone. It returns the
// node, -1 when the nomination is no place: the scheduler takes one back only when
// it looks at the pod again, and until then a node may have filled up or been
// tainted. The class must be one of those that the Ledger was made for.
func (l *Ledger) Nominate(p cluster.Pod) int32 {
	n := l.find(p.Status.NominatedNodeName)
	if n < 0 {
		return -1
	}
	k := l.byID[p.Class.ID]
	l.Fork()
	for _, r := range l.nodes[n].state.Residents {
		if r.DeletionTimestamp != nil && r.Class.Priority < p.Class.Priority {
			l.evict(r, n)
		}
	}
	if l.check(k, n) != fits {
		l.Revert()
		return -1
	}
	l.Commit()
	l.placeOn(k, n, 1)
	return n
}
