package awssim

import (
	"slices"
	"strings"
	"time"
)

// Lifecycle states of a group's member.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html
const (
	pending     = "Pending"
	inService   = "InService"
	terminating = "Terminating"
	waitState   = ":Wait"
	proceeding  = ":Proceed"
)

// Transitions that hooks hang on.
const (
	onLaunch    = "autoscaling:EC2_INSTANCE_LAUNCHING"
	onTerminate = "autoscaling:EC2_INSTANCE_TERMINATING"
)

// midLifecycle is the status of an activity that a hook holds.
const midLifecycle = "MidLifecycleAction"

// member is an instance in a group.
type member struct {
	inst      *instance
	lifecycle string
	protected bool
	unhealthy bool
	resting   bool                        // it is being stopped for its warm pool
	returning bool                        // it is on its way back into its warm pool
	drawn     bool                        // it came out of its warm pool
	waits     map[string]*lifecycleAction // hook name -> action that must be completed
	activity  *activity                   // the one under way
	served    time.Time                   // since when it is in service
}

func (m *member) leaving() bool {
	return strings.HasPrefix(strings.TrimPrefix(m.lifecycle, warmed), terminating)
}

// joinLocked makes a new instance a member, of the warm pool or of the group
// itself, and boots it.
func (w *World) joinLocked(g *group, i *instance, warm bool) {
	m := &member{inst: i, lifecycle: pending, protected: g.protectNew}
	what, cause := "Launching a new EC2 instance: ", g.growCause()
	i.target = inService
	if warm {
		m.lifecycle, m.protected, i.target = warmed+pending, false, g.pool.rest()
		what, cause = "Launching a new EC2 instance into warm pool: ", g.warmCause()
	}
	g.members = append(g.members, m)
	m.activity = w.newActivityLocked(g, what+i.ID, cause, i.Zone)
	w.bootLocked(i)
}

// memberRunningLocked goes on with a member whose machine runs: its launch
// hooks, then service or the warm pool.
func (w *World) memberRunningLocked(i *instance) {
	g, m := w.memberByIDLocked(i.ID)
	switch {
	case m == nil || m.resting:
		return
	case m.lifecycle == m.in(pending+proceeding):
		w.settleLocked(g, m) // given up by the group before it ran, and let go
		return
	case m.lifecycle != m.in(pending):
		return
	}
	if w.waitLocked(g, m, onLaunch) {
		m.lifecycle += waitState
		m.activity.status = midLifecycle
		return
	}
	w.settleLocked(g, m)
}

func (w *World) serveLocked(m *member) {
	m.lifecycle, m.served = inService, time.Now()
	m.activity.finish("Successful", "")
	m.activity = nil
}

// proceedLocked leaves a Wait state once no hook holds it any more.
func (w *World) proceedLocked(g *group, m *member, abandoned bool) {
	w.endWaitsLocked(m)
	if m.leaving() {
		m.lifecycle = m.in(terminating + proceeding)
		w.soonLocked(w.Timing.Proceed, func() { w.terminateLocked(m.inst, userShutdown) })
		return
	}
	if abandoned {
		// One that was returning to the pool has met the hooks of its end already.
		hooks := !m.returning
		m.activity.finish("Cancelled", "Instance failed to complete user's Lifecycle Action: Lifecycle Action was abandoned")
		m.activity = nil
		w.leaveLocked(g, m, "instance "+m.inst.ID+" was taken out of service in response to its lifecycle action being abandoned", hooks)
		w.reconcileLocked(g)
		return
	}
	m.lifecycle = m.in(pending + proceeding)
	w.soonLocked(w.Timing.Proceed, func() {
		if m.lifecycle == m.in(pending+proceeding) && m.inst.State == Running && !m.resting {
			w.settleLocked(g, m)
		}
	})
}

func (w *World) leaveLocked(g *group, m *member, why string, hooks bool) *activity {
	return w.leaveBecauseLocked(g, m, "At "+activityTime(time.Now())+" "+why+".", hooks)
}

// leaveBecauseLocked starts a member's termination: its hooks, if they apply,
// then the machine. It returns the activity.
func (w *World) leaveBecauseLocked(g *group, m *member, cause string, hooks bool) *activity {
	w.endWaitsLocked(m)
	if m.activity != nil {
		m.activity.finish("Cancelled", "")
	}
	a := w.newActivityLocked(g, "Terminating EC2 instance: "+m.inst.ID, cause, m.inst.Zone)
	m.activity = a
	m.lifecycle = m.in(terminating)
	m.inst.target = m.in("Terminated")
	if hooks && w.waitLocked(g, m, onTerminate) {
		m.lifecycle += waitState
		a.status = midLifecycle
		return a
	}
	w.terminateLocked(m.inst, userShutdown)
	return a
}

// memberLostLocked notices that EC2 is ending a member behind the group's back.
// That skips the terminating hooks: there is nothing left to hold.
func (w *World) memberLostLocked(i *instance) {
	if g, m := w.memberByIDLocked(i.ID); m == nil || m.leaving() && len(m.waits) == 0 {
		return
	} else if m.leaving() {
		w.endWaitsLocked(m)
		m.lifecycle = m.in(terminating + proceeding)
		return
	} else {
		w.soonLocked(w.Timing.Health, func() { w.checkHealthLocked(g) })
	}
}

// memberStoppedLocked replaces a member that was stopped: to its group it is
// unhealthy, unless it was stopped for the warm pool.
func (w *World) memberStoppedLocked(i *instance) {
	g, m := w.memberByIDLocked(i.ID)
	if m == nil {
		return
	}
	if m.resting {
		if !m.leaving() {
			w.restLocked(g, m)
		}
		return
	}
	w.soonLocked(w.Timing.Health, func() { w.checkHealthLocked(g) })
}

// memberGoneLocked takes a member out of its group once its machine is gone.
func (w *World) memberGoneLocked(i *instance) {
	g, m := w.memberByIDLocked(i.ID)
	if m == nil || !m.leaving() {
		return // gone before the group noticed; checkHealthLocked comes back here
	}
	w.endWaitsLocked(m)
	m.activity.finish("Successful", "")
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	w.dropPoolIfEmptyLocked(g)
	w.dropIfEmptyLocked(g)
	w.reconcileLocked(g)
}
