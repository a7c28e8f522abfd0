package awssim

import (
	"slices"
	"time"
)

// imbalance is the group's fullest zone and its emptiest, when they differ by
// more than one member and the fullest has one that may go.
func (g *group) imbalance() (full, empty string, ok bool) {
	zones := g.zonesByLoad(false)
	if len(zones) < 2 {
		return "", "", false
	}
	empty, full = zones[0], zones[len(zones)-1]
	movable := slices.ContainsFunc(g.members, func(m *member) bool {
		return m.inst.Zone == full && m.lifecycle == inService && !m.protected
	})
	return full, empty, movable && g.zoneCount(full)-g.zoneCount(empty) > 1
}

func (g *group) balances() bool {
	return !g.suspends("AZRebalance") && !g.suspends("Launch") && !g.suspends("Terminate") && !g.deleting
}

// watchBalanceLocked looks again later whether the zones still differ. A zone
// that ran dry fills up like this once it has capacity again.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html
func (w *World) watchBalanceLocked(g *group) {
	if w.Weather.Rebalance <= 0 || g.watching || !g.balances() {
		return
	}
	if _, _, ok := g.imbalance(); !ok {
		return
	}
	g.watching = true
	w.afterLocked(w.Weather.Rebalance, func() {
		g.watching = false
		w.rebalanceLocked(g)
	})
}

// rebalanceLocked launches in the emptiest zone first. When that instance is in
// service, the group has one too many and gives one up where it has the most.
func (w *World) rebalanceLocked(g *group) {
	full, empty, ok := g.imbalance()
	if !ok || g.balancing != nil || !g.balances() || g.active() != g.desired {
		return
	}
	g.cause = "At " + activityTime(time.Now()) + " availability zones " + full + " and " + empty + " were found to be out of balance.  "
	i, err := w.launchInLocked(g, empty)
	if err != nil {
		w.watchBalanceLocked(g)
		return
	}
	w.joinLocked(g, i, false)
	if _, m := w.memberByIDLocked(i.ID); m != nil && m.lifecycle != inService {
		g.balancing = m
		return
	}
	w.reconcileLocked(g)
}

// spareForBalance is 1 while an instance launched to balance the zones is on its
// way: nothing is given up for it before it serves.
func (g *group) spareForBalance() int {
	if m := g.balancing; m != nil && !m.leaving() && m.lifecycle != inService {
		return 1
	}
	g.balancing = nil
	return 0
}
