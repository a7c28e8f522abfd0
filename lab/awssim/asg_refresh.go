package awssim

import (
	"slices"
	"strings"
	"time"
)

// Statuses of an instance refresh.
const (
	refreshing       = "InProgress"
	refreshed        = "Successful"
	refreshFailed    = "Failed"
	baking           = "Baking"
	cancelling       = "Cancelling"
	cancelled        = "Cancelled"
	rollingBack      = "RollbackInProgress"
	rolledBack       = "RollbackSuccessful"
	rollbackFailed   = "RollbackFailed"
	refreshTick      = time.Second // between two looks at a refresh under way
	protectionLimit  = time.Hour   // how long a refresh waits for protected instances
	usualCheckpoint  = 3600        // seconds
	usualMinHealthy  = 90          // percent
	usualMaxHealthy  = 100
	rollingPlacement = "Rolling"
)

// origin is what a group launches from.
type origin struct {
	template *launchTemplate
	version  string
}

// refresh replaces a group's instances, by ending them and having the group
// launch others.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html
type refresh struct {
	id, status, reason string
	start, end         time.Time
	prefs              refreshPreferences
	from               origin  // of the group when it began
	to                 *origin // desired configuration; nil: the group's own
	todo               []*member
	total              int
	checkpoint         int       // index of the next one
	pause              time.Time // end of a checkpoint's or the bake's
	progressed         time.Time // when an instance was last replaced
	rollback           string    // why it rolls back; empty: it does not
	before             int       // percentage when the rollback began
}

func (r *refresh) over() bool {
	return hasWord(refreshed+" "+refreshFailed+" "+cancelled+" "+rolledBack+" "+rollbackFailed, r.status)
}

// percent is how much of the refresh is done.
func (r *refresh) percent() int {
	if r.total == 0 {
		return 100
	}
	return (r.total - len(r.todo)) * 100 / r.total
}

func (r *refresh) finish(status, reason string) {
	r.status, r.reason, r.end = status, reason, time.Now()
}

// refreshUnderWay is the group's active refresh; nil: none.
func (g *group) refreshUnderWay() *refresh {
	if n := len(g.refreshes); n > 0 && !g.refreshes[n-1].over() {
		return g.refreshes[n-1]
	}
	return nil
}

// launchSource is what the group launches from now: a refresh's desired
// configuration while it is under way.
func (g *group) launchSource() (*launchTemplate, string) {
	if r := g.refreshUnderWay(); r != nil && r.to != nil && r.rollback == "" {
		return r.to.template, r.to.version
	}
	return g.template, g.version
}

// matches reports that a member is as an origin would launch it.
func (o origin) matches(m *member) bool {
	if o.template == nil {
		return false
	}
	v, err := o.template.version(o.version)
	return err == nil && m.inst.LaunchTemplateID == o.template.id && m.inst.LaunchTemplateVersion == v.number
}

// choose lists what is to be replaced: all that serves or is about to.
func (r *refresh) choose(g *group, now origin, skipMatching bool) {
	r.todo = nil
	for _, m := range g.members {
		skip := m.leaving() || m.warm() || skipMatching && now.matches(m) || m.protected && r.prefs.protected == "Ignore"
		if !skip {
			r.todo = append(r.todo, m)
		}
	}
	r.total, r.checkpoint, r.progressed = len(r.todo), 0, time.Now()
}

// watchRefreshLocked takes a refresh on, tick by tick, until it is over.
func (w *World) watchRefreshLocked(g *group, r *refresh) {
	if r.over() || g.deleting {
		return
	}
	w.stepRefreshLocked(g, r)
	if !r.over() {
		w.afterLocked(refreshTick, func() { w.watchRefreshLocked(g, r) })
	}
}

func (w *World) stepRefreshLocked(g *group, r *refresh) {
	if r.status == "Pending" {
		r.status = refreshing
	}
	r.todo = slices.DeleteFunc(r.todo, func(m *member) bool { return m.leaving() || !slices.Contains(g.members, m) })
	room := g.refreshRoom(r)
	switch {
	case r.status == cancelling:
		if g.settled() {
			r.finish(cancelled, "Cancelled due to user request.")
		}
	case g.suspends("InstanceRefresh") || g.suspends("Launch") || g.suspends("Terminate"), time.Now().Before(r.pause):
	case r.atCheckpoint() && g.whole(r):
		r.checkpoint++
		r.pause = time.Now().Add(r.prefs.checkpointDelay)
	case r.atCheckpoint():
	case len(r.todo) == 0 && g.whole(r):
		w.completeRefreshLocked(g, r)
	case room > 0:
		w.replaceSomeLocked(g, r, room)
	}
}

// settled reports that nothing is on its way into the group or out of it.
func (g *group) settled() bool {
	return g.active() == g.desired && !slices.ContainsFunc(g.members, func(m *member) bool { return !m.warm() && m.lifecycle != inService })
}

// warmedUp counts the members that a refresh counts on: in service, healthy, and
// past their warm-up if they are new.
func (g *group) warmedUp(r *refresh) (n int) {
	for _, m := range g.members {
		young := m.served.After(r.start) && time.Since(m.served) < r.prefs.warmup
		if m.lifecycle == inService && !m.unhealthy && !young {
			n++
		}
	}
	return n
}

// whole reports that nothing is missing, on its way or warming up.
func (g *group) whole(r *refresh) bool { return g.settled() && g.warmedUp(r) >= g.desired }

// refreshRoom is how many more may be missing: what is above the healthy
// percentage, and one at least when none is missing.
func (g *group) refreshRoom(r *refresh) int {
	least := (g.desired*r.prefs.minHealthy + 99) / 100
	ready := g.warmedUp(r)
	if ready >= g.desired && g.settled() {
		return max(ready-least, 1)
	}
	return ready - least
}

// atCheckpoint reports that the refresh has come to where it is to pause.
func (r *refresh) atCheckpoint() bool {
	return r.rollback == "" && r.checkpoint < len(r.prefs.checkpoints) && r.percent() >= r.prefs.checkpoints[r.checkpoint] && r.percent() < 100
}

// replaceSomeLocked ends instances, under their hooks and without their place
// in the desired capacity.
func (w *World) replaceSomeLocked(g *group, r *refresh, room int) {
	for _, m := range slices.Clone(r.todo) {
		if m.protected && r.prefs.protected == "Ignore" {
			r.todo = slices.DeleteFunc(r.todo, func(o *member) bool { return o == m })
			continue
		}
		if m.protected && r.prefs.protected == "Wait" || m.lifecycle != inService {
			continue
		}
		if room == 0 || r.atCheckpoint() {
			return
		}
		room--
		r.progressed, r.reason = time.Now(), ""
		r.todo = slices.DeleteFunc(r.todo, func(o *member) bool { return o == m })
		w.leaveLocked(g, m, "an instance was taken out of service in response to an instance refresh", true)
	}
	w.reconcileLocked(g)
	w.awaitProtectedLocked(g, r)
}

// awaitProtectedLocked says what the refresh waits for, and ends the wait.
func (w *World) awaitProtectedLocked(g *group, r *refresh) {
	var ids []string
	for _, m := range r.todo {
		if m.protected && r.prefs.protected == "Wait" {
			ids = append(ids, m.inst.ID)
		}
	}
	if len(ids) == 0 || len(ids) < len(r.todo) {
		return
	}
	r.reason = "Waiting for instances that are protected from scale-in: " + strings.Join(ids, ", ")
	if time.Since(r.progressed) < protectionLimit {
		return
	}
	w.failRefreshLocked(g, r, "Instances stayed protected from scale-in: "+strings.Join(ids, ", "))
}

func (w *World) failRefreshLocked(g *group, r *refresh, reason string) {
	switch {
	case r.rollback != "":
		r.finish(rollbackFailed, reason)
	case r.prefs.autoRollback && r.to != nil:
		w.beginRollbackLocked(g, r, reason)
	default:
		r.finish(refreshFailed, reason)
	}
}

// completeRefreshLocked bakes, and makes the desired configuration the group's.
func (w *World) completeRefreshLocked(g *group, r *refresh) {
	if r.rollback != "" {
		r.finish(rolledBack, "")
		return
	}
	if r.prefs.bake > 0 && r.status != baking {
		r.status, r.pause = baking, time.Now().Add(r.prefs.bake)
		return
	}
	r.finish(refreshed, "")
	if r.to != nil {
		g.template, g.version = r.to.template, r.to.version
	}
}

// beginRollbackLocked replaces once more what was replaced.
func (w *World) beginRollbackLocked(g *group, r *refresh, reason string) {
	r.before, r.rollback, r.status, r.reason, r.pause = r.percent(), reason, rollingBack, "", time.Time{}
	r.choose(g, r.from, true)
}
