package awssim

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// WarmPool describes the pool of prepared instances of an AutoScaling group.
// https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutWarmPool.html
type WarmPool struct {
	MinSize int // least number of instances in the pool
	// MaxPrepared is how many instances group and pool are to have together
	// (MaxGroupPreparedCapacity); the group's maximum when zero.
	MaxPrepared int
	State       string // Stopped (also when empty), Running or Hibernated
	// ReuseOnScaleIn returns what the group gives up to the pool.
	ReuseOnScaleIn bool
}

// warmed begins the lifecycle states of instances that are in a warm pool or
// on their way into it.
const warmed = "Warmed:"

// pool is a group's warm pool.
type pool struct {
	min         int
	maxPrepared int // negative: the group's maximum
	state       string
	reuse       bool
	deleting    bool // Status PendingDelete
}

func newPool() *pool { return &pool{maxPrepared: -1, state: "Stopped"} }

// rest is the lifecycle state in which the pool keeps its instances.
func (p *pool) rest() string { return warmed + p.state }

// warm reports that the member belongs to the pool and not to the capacity.
func (m *member) warm() bool { return strings.HasPrefix(m.lifecycle, warmed) }

// prepared reports that the pool keeps the member for the next scale-out. It
// may have come under an earlier setting of the pool's state.
func (m *member) prepared() bool {
	return hasWord(warmed+"Stopped "+warmed+"Running "+warmed+"Hibernated", m.lifecycle)
}

// in is a lifecycle state as it is called where the member is: group or pool.
func (m *member) in(state string) string {
	if m.warm() {
		return warmed + state
	}
	return state
}

// warmCount counts the members of the pool that are not on their way out.
func (g *group) warmCount() (n int) {
	for _, m := range g.members {
		if m.warm() && !m.leaving() {
			n++
		}
	}
	return n
}

// warmTarget is how many instances the pool is to have: what is missing from
// the desired to the prepared capacity, and the minimum at least.
func (g *group) warmTarget() int {
	if g.pool == nil || g.pool.deleting {
		return 0
	}
	prepared := g.pool.maxPrepared
	if prepared < 0 {
		prepared = g.max
	}
	return max(g.pool.min, prepared-g.desired)
}

// ready picks the pool's instance that a scale-out takes: in the zone with the
// fewest members, the one that has been there longest. nil: none is prepared.
func (g *group) ready() *member {
	var best *member
	for _, m := range g.members {
		if !m.prepared() || m.unhealthy {
			continue
		}
		if best == nil || g.zoneCount(m.inst.Zone) < g.zoneCount(best.inst.Zone) {
			best = m
		}
	}
	return best
}

// reconcilePoolLocked launches into the pool or ends what it has too many of.
func (w *World) reconcilePoolLocked(g *group) {
	for !w.closed && !g.deleting && g.pool != nil {
		switch n, want := g.warmCount(), g.warmTarget(); {
		case n < want && !g.suspends("Launch") && g.stopRetry == nil:
			if !w.launchMemberLocked(g, true) {
				w.retryLocked(g)
				return
			}
		case n > want && !g.suspends("Terminate"):
			m := g.surplus()
			w.leaveLocked(g, m, "instance "+m.inst.ID+" was taken out of the warm pool in response to a difference between its desired and actual capacity, shrinking the warm pool capacity from "+
				itoa(n)+" to "+itoa(want), true)
		default:
			w.dropPoolIfEmptyLocked(g)
			return
		}
	}
}

// surplus picks what a pool that is too large gives up: the least prepared, and
// of those the youngest.
func (g *group) surplus() *member {
	var candidates []*member
	for _, m := range g.members {
		if m.warm() && !m.leaving() {
			candidates = append(candidates, m)
		}
	}
	rank := map[bool]int{true: 1}
	return slices.MinFunc(candidates, func(a, b *member) int {
		return cmp.Or(cmp.Compare(rank[a.prepared()], rank[b.prepared()]), b.inst.LaunchTime.Compare(a.inst.LaunchTime))
	})
}

// dropPoolIfEmptyLocked completes the deletion of a pool.
func (w *World) dropPoolIfEmptyLocked(g *group) {
	if g.pool != nil && g.pool.deleting && !slices.ContainsFunc(g.members, (*member).warm) {
		g.pool = nil
	}
}

// drawLocked takes an instance out of the pool into the group. It starts anew
// if the pool kept it stopped, and meets the launch hooks a second time.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
func (w *World) drawLocked(g *group, m *member) {
	cause := g.growCause()
	m.lifecycle, m.protected, m.drawn, m.inst.target = pending, g.protectNew, true, inService
	m.activity = w.newActivityLocked(g, "Launching a new EC2 instance from warm pool: "+m.inst.ID, cause, m.inst.Zone)
	switch m.inst.State {
	case Stopped:
		w.startLocked(m.inst)
	case Running:
		w.memberRunningLocked(m.inst)
	}
}

// returnLocked puts a member that the group gives up into the pool. The hooks
// of its termination hold it, at the pool's door.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
func (w *World) returnLocked(g *group, m *member, cause string) {
	w.endWaitsLocked(m)
	m.activity.finish("Cancelled", "")
	m.activity = w.newActivityLocked(g, "Returning EC2 instance to warm pool: "+m.inst.ID, cause, m.inst.Zone)
	m.lifecycle, m.protected, m.drawn, m.returning, m.inst.target = warmed+pending, false, false, true, g.pool.rest()
	if w.waitLocked(g, m, onTerminate) {
		m.lifecycle += waitState
		m.activity.status = midLifecycle
		return
	}
	if m.inst.State == Running {
		w.settleLocked(g, m)
	}
}

// settleLocked ends an instance's way into the pool or the group, once it runs
// and no hook holds it.
func (w *World) settleLocked(g *group, m *member) {
	switch {
	case !m.warm():
		w.serveLocked(m)
		if g.balancing == m {
			w.reconcileLocked(g)
		}
	case g.pool == nil || g.pool.state == "Running":
		w.restLocked(g, m)
	default:
		// A machine cannot hibernate here: it is stopped, and its state is called
		// Hibernated.
		m.resting = true
		w.stopLocked(m.inst, userShutdown)
	}
}

// restLocked is the end of an instance's way into the pool.
func (w *World) restLocked(g *group, m *member) {
	m.resting, m.returning = false, false
	if g.pool != nil {
		m.lifecycle = g.pool.rest()
	}
	m.activity.finish("Successful", "")
	m.activity = nil
	w.reconcileLocked(g)
}

// growCause says why an instance is launched for the group.
func (g *group) growCause() string {
	return g.cause + "At " + activityTime(time.Now()) + " an instance was started in response to a difference between desired and actual capacity, " +
		"increasing the capacity from " + itoa(g.active()) + " to " + itoa(g.desired) + "."
}

// warmCause says why one is launched into the pool.
func (g *group) warmCause() string {
	return "At " + activityTime(time.Now()) + " an instance was started in response to a difference between desired and actual capacity, " +
		"increasing the warm pool capacity from " + itoa(g.warmCount()) + " to " + itoa(g.warmTarget()) + "."
}
