package awssim

import (
	"slices"
	"strings"
)

// processes are the names that SuspendProcesses takes. Launch and Terminate are
// the parts that the others are made of: without Launch nothing is launched,
// whatever for, and without Terminate nothing is ended but what is named by a
// request. Nothing here acts on AddToLoadBalancer, AlarmNotification and
// ScheduledActions: the world has no load balancers, alarms and schedules.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
const processes = "Launch Terminate AddToLoadBalancer AlarmNotification AZRebalance HealthCheck InstanceRefresh ReplaceUnhealthy ScheduledActions"

func (w *World) suspend(req *request) (any, error) {
	return w.changeProcesses(req, func(g *group, names []string) {
		for _, n := range names {
			if !slices.Contains(g.suspended, n) {
				g.suspended = append(slices.Clip(g.suspended), n)
			}
		}
	})
}

func (w *World) resume(req *request) (any, error) {
	return w.changeProcesses(req, func(g *group, names []string) {
		g.suspended = slices.DeleteFunc(slices.Clone(g.suspended), func(n string) bool { return slices.Contains(names, n) })
	})
}

func (w *World) changeProcesses(req *request, change func(*group, []string)) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	names := req.form.strs("ScalingProcesses.member")
	if len(names) == 0 {
		names = strings.Fields(processes)
	}
	for _, n := range names {
		if !hasWord(processes, n) {
			return nil, fail("ValidationError", "1 validation error detected: Value '[%s]' at 'scalingProcesses' failed to satisfy constraint: [Member must satisfy enum value set: [%s]]", n, strings.ReplaceAll(processes, " ", ", "))
		}
	}
	change(g, names)
	w.checkHealthLocked(g)
	w.reconcileNowLocked(g)
	return nil, nil
}

// checkHealthLocked looks whether EC2 has ended or stopped members behind the
// group's back, marks them, and replaces what is marked.
func (w *World) checkHealthLocked(g *group) {
	replaced := false
	for _, m := range slices.Clone(g.members) {
		lost := m.inst.State.gone()
		stopped := m.inst.State == Stopped && !m.resting && !m.prepared()
		if m.leaving() || !lost && !stopped {
			continue
		}
		m.unhealthy = m.unhealthy || !g.suspends("HealthCheck")
		if !m.unhealthy || g.suspends("ReplaceUnhealthy") || g.suspends("Terminate") {
			continue
		}
		replaced = true
		w.replaceLocked(g, m, lost)
	}
	if replaced {
		w.reconcileLocked(g)
	}
}

// replaceLocked gives an unhealthy member up. One that is lost skips the
// terminating hooks: there is nothing left to hold.
func (w *World) replaceLocked(g *group, m *member, lost bool) {
	if m.inst.StateReason == serverError {
		w.retryLocked(g) // a machine that does not start is not tried again at once
	}
	w.leaveLocked(g, m, "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped", !lost)
	if m.inst.State == Terminated {
		w.memberGoneLocked(m.inst)
	}
}
