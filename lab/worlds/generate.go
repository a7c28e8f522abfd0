package worlds

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// The times of a world. Calm is longer than the longest pause after a failure, half an
// hour, with what comes after it.
const (
	storm = 33 * time.Minute
	calm  = 50 * time.Minute
)

var (
	zones = []string{"us-west-2a", "us-west-2b", "us-west-2c"}
	types = []string{"t3.medium", "m5.large", "m5.xlarge", "c5.xlarge"}
	// natures has honest nodes often: what must run needs them.
	natures = []Nature{
		Honest, Honest, Honest, Honest, Honest, Late, LateDevice, Crowded, Smaller, NoDevice,
		Quarantined, NeverReady, NeverJoin, Idlers, Boasters, Fickle, Nameless, Labelled, Stuck,
	}
	kinds = []Kind{
		Scale, Scale, Scale, Scale, Scale, Budget, NoCapacity, NoLaunch, NoEnd, Bounds, Desire, Retire,
		NodeGone, Ended, Silent, Cordoned, ZoneLost, Leader, Leader, Throttled, Down, Deaf,
	}
)

// Generate makes the world of a seed, always the same one.
func Generate(seed uint64) World {
	m := maker{rand.New(rand.NewPCG(seed, 0x776f726c6473))}
	w := World{Seed: seed, Storm: storm, Calm: calm, Harsh: m.one(4)}
	for i := range 1 + m.IntN(3) {
		w.Groups = append(w.Groups, m.group(i))
	}
	for i := range 1 + m.IntN(4) {
		w.Classes = append(w.Classes, m.class(i, w.Groups))
	}
	for range 3 + m.IntN(8) {
		w.Events = append(w.Events, m.event(w))
	}
	slices.SortStableFunc(w.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return w
}

type maker struct{ *rand.Rand }

// one is true once in n times.
func (m maker) one(n int) bool { return m.IntN(n) == 0 }

func pick[T any](m maker, from []T) T { return from[m.IntN(len(from))] }

func (m maker) group(i int) Group {
	g := Group{
		Name: fmt.Sprint("group-", i), Type: pick(m, types), Zones: slices.Clone(zones[:1+m.IntN(len(zones))]),
		Min: m.IntN(2), Max: 2 + m.IntN(5), Tainted: m.one(5), Nodes: pick(m, natures),
	}
	g.Desired = min(g.Max, g.Min+m.IntN(3))
	g.Promised = g.Nodes == LateDevice || g.Nodes == NoDevice || m.one(6)
	return g
}

func (m maker) class(i int, groups []Group) Class {
	c := Class{
		Name: fmt.Sprint("class-", i), Replicas: m.IntN(7), CPU: pick(m, []int{100, 300, 700, 1200, 1700}),
		Memory: pick(m, []int{64, 256, 1000, 2500}), Apart: m.one(6), Pinned: m.one(8), Priority: int32(100 * m.IntN(2)),
	}
	if m.one(4) {
		c.Zone = pick(m, zones)
	}
	if g := pick(m, groups); g.Tainted {
		c.Group = g.Name
	}
	c.Device = slices.ContainsFunc(groups, func(g Group) bool { return g.Promised }) && m.one(2)
	if m.one(3) {
		c.Available = 1 + m.IntN(3)
	}
	if c.Impossible = m.one(10); c.Impossible {
		c.CPU = 64000
	}
	return c
}

func (m maker) event(w World) Event {
	e := Event{At: time.Duration(m.Int64N(int64(storm * 2 / 3))), Kind: pick(m, kinds)}
	lasts := time.Minute + time.Duration(m.Int64N(int64(9*time.Minute)))
	switch e.Kind {
	case Scale:
		e.Class, e.N = pick(m, w.Classes).Name, m.IntN(9)
	case Budget:
		e.Class, e.N = pick(m, w.Classes).Name, m.IntN(4)
	case NoCapacity, ZoneLost:
		e.Zone, e.For = pick(m, zones), lasts
	case NoLaunch, NoEnd:
		e.Group, e.For = pick(m, w.Groups).Name, lasts
	case Bounds:
		e.Group, e.N = pick(m, w.Groups).Name, 1+m.IntN(7)
	case Desire:
		e.Group, e.N = pick(m, w.Groups).Name, m.IntN(7)
	case Retire:
		e.Group = pick(m, w.Groups).Name
	case NodeGone, Ended, Silent:
		e.Pick = m.Uint64()
	case Cordoned:
		e.Pick, e.For = m.Uint64(), lasts
	case Throttled, Down, Deaf:
		e.For = lasts / 2
	}
	return e
}

// AllKinds and AllNatures are the names of all that worlds may have, each once.
func AllKinds() []string { return names(kinds) }

// AllNatures see AllKinds.
func AllNatures() []string { return names(natures) }

func names[T ~string](all []T) (out []string) {
	for _, one := range all {
		if !slices.Contains(out, string(one)) {
			out = append(out, string(one))
		}
	}
	return out
}
