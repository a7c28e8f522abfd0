package awssim

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"
)

// active counts the members that make up the group's capacity: those that are
// neither on their way out nor in the warm pool.
func (g *group) active() (n int) {
	for _, m := range g.members {
		if !m.leaving() && !m.warm() {
			n++
		}
	}
	return n
}

func (g *group) changing(what string, to int) string {
	return what + " from " + strconv.Itoa(g.desired) + " to " + strconv.Itoa(to)
}

// reconcileAllLocked gives every group a new chance to launch.
func (w *World) reconcileAllLocked() {
	for _, name := range slices.Sorted(maps.Keys(w.groups)) {
		w.reconcileNowLocked(w.groups[name])
	}
}

// reconcileNowLocked reconciles without waiting out a pause between launch
// attempts, as AutoScaling does when a user changes something.
func (w *World) reconcileNowLocked(g *group) {
	if g.stopRetry != nil {
		g.stopRetry()
		g.stopRetry = nil
	}
	w.reconcileLocked(g)
}

// reconcileLocked brings the group to its desired capacity, then its warm pool;
// soon, in a world whose AutoScaling lags.
func (w *World) reconcileLocked(g *group) {
	if w.lagsLocked(g) {
		return
	}
	w.reconcileMembersLocked(g)
	w.reconcilePoolLocked(g)
}

// reconcileMembersLocked launches or ends members until the group has its
// desired capacity or cannot get closer to it. What the warm pool has ready is
// taken first.
func (w *World) reconcileMembersLocked(g *group) {
	for !w.closed && !g.deleting {
		switch n := g.active(); {
		case n < g.desired && !g.suspends("Launch") && g.ready() != nil:
			w.drawLocked(g, g.ready())
		case n < g.desired && !g.suspends("Launch") && g.stopRetry == nil:
			if !w.launchMemberLocked(g, false) {
				w.retryLocked(g)
				return
			}
		case n > g.desired+g.spareForBalance() && !g.suspends("Terminate"):
			m := g.victim()
			if m == nil {
				w.noteStuckLocked(g)
				return
			}
			shrink := g.cause + "At " + activityTime(time.Now()) + " an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from " +
				strconv.Itoa(n) + " to " + strconv.Itoa(g.desired) + ".  At " + activityTime(time.Now()) + " instance " + m.inst.ID + " was selected for termination."
			if g.pool != nil && g.pool.reuse && g.warmCount() < g.warmTarget() {
				w.returnLocked(g, m, shrink)
			} else {
				w.leaveBecauseLocked(g, m, shrink, true)
			}
		default:
			if n == g.desired {
				g.cause, g.stuckAt = "", -1
				w.watchBalanceLocked(g)
			}
			return
		}
	}
}

// retryLocked tries to launch again after a pause.
func (w *World) retryLocked(g *group) {
	if g.stopRetry != nil {
		return
	}
	g.stopRetry = w.afterLocked(w.Timing.LaunchRetry, func() {
		g.stopRetry = nil
		w.reconcileLocked(g)
	})
}

// launchMemberLocked launches one instance, for the group or for its warm pool,
// in the zone with the fewest of these, or in the next one if that zone cannot
// have it. Each failure is an activity.
func (w *World) launchMemberLocked(g *group, warm bool) bool {
	for _, zone := range g.zonesByLoad(warm) {
		switch i, err := w.launchInLocked(g, zone); {
		case err == nil:
			w.joinLocked(g, i, warm)
			return true
		case !isInsufficient(err):
			return false
		}
	}
	return false
}

// launchInLocked launches one instance of a group in a zone; a failure is an
// activity.
func (w *World) launchInLocked(g *group, zone string) (*instance, error) {
	t, _ := g.launchSource()
	data, version, err := g.launchData()
	if err != nil {
		w.launchFailedLocked(g, "", err)
		return nil, err
	}
	i, err := w.launchLocked(launch{data: data, template: t, version: version, zone: zone, group: g.name, tags: g.propagated()})
	if err != nil {
		w.launchFailedLocked(g, zone, err)
	}
	return i, err
}

func isInsufficient(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.code == "InsufficientInstanceCapacity"
}

// launchData resolves the template version for a launch now: $Latest is the
// version that is the latest at this moment.
func (g *group) launchData() (LaunchTemplateData, int64, error) {
	t, ref := g.launchSource()
	if t == nil {
		return LaunchTemplateData{InstanceType: g.instanceType}, 0, nil
	}
	v, err := t.version(ref)
	if err != nil {
		return LaunchTemplateData{}, 0, err
	}
	if v.data.ImageID == "" {
		return v.data, v.number, fail("ValidationError", "You must use a valid fully-formed launch template. The request must contain the parameter ImageId")
	}
	return v.data, v.number, nil
}

func (g *group) propagated() map[string]string {
	out := map[string]string{}
	for _, t := range g.tags {
		if t.Propagate {
			out[t.Key] = t.Value
		}
	}
	return out
}

// zoneCount counts the active members in a zone.
func (g *group) zoneCount(zone string) int { return g.zoneLoad(zone, false) }

func (g *group) zoneLoad(zone string, warm bool) (n int) {
	for _, m := range g.members {
		if m.inst.Zone == zone && !m.leaving() && m.warm() == warm {
			n++
		}
	}
	return n
}

func (g *group) zonesByLoad(warm bool) []string {
	zones := slices.Clone(g.zones)
	slices.SortStableFunc(zones, func(a, b string) int { return cmp.Compare(g.zoneLoad(a, warm), g.zoneLoad(b, warm)) })
	return zones
}

// victim picks the member that a scale-in ends, roughly by the default
// termination policy: in the zone with the most members that has an unprotected
// one, the oldest launch template version, then the oldest instance.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html
func (g *group) victim() *member {
	var candidates []*member
	for _, m := range g.members {
		if !m.leaving() && !m.warm() && !m.protected {
			candidates = append(candidates, m)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	return slices.MinFunc(candidates, func(a, b *member) int {
		return cmp.Or(
			cmp.Compare(g.zoneCount(b.inst.Zone), g.zoneCount(a.inst.Zone)),
			cmp.Compare(a.inst.LaunchTemplateVersion, b.inst.LaunchTemplateVersion),
			a.inst.LaunchTime.Compare(b.inst.LaunchTime),
		)
	})
}
