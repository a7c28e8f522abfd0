package loop

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/act"
	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/cluster"
)

// tellUnknown says once, until it is known again, that AWS does not know a group that
// the configuration names: most likely its name is mistyped, or it was replaced.
func (l *Loop) tellUnknown(skipped []asg.Skipped) {
	now := map[string]bool{}
	for _, s := range skipped {
		if !s.Unknown {
			continue
		}
		now[s.Group] = true
		if !l.unknown[s.Group] {
			l.o.Events.Eventf(act.ControllerLease(), corev1.EventTypeWarning, "GroupUnknown", "group %s: %s", s.Group, s.Reason)
		}
	}
	l.unknown = now
}

// tellRefreshes says once of each instance refresh what it means here.
func (l *Loop) tellRefreshes(groups []cluster.Group) {
	now := map[string]bool{}
	for i := range groups {
		g := &groups[i]
		if g.Refresh == nil {
			continue
		}
		now[g.Refresh.ID] = true
		switch {
		case l.refreshes[g.Refresh.ID]:
		case g.Refresh.Skips:
			l.o.Events.Eventf(act.ControllerLease(), corev1.EventTypeWarning, "InstanceRefreshSkipsNodes",
				"group %s: instance refresh %s leaves protected instances as they are, and Joinery protects all that serve: start it with ScaleInProtectedInstances Refresh or Wait", g.Name, g.Refresh.ID)
		default:
			l.o.Events.Eventf(act.ControllerLease(), corev1.EventTypeNormal, "InstanceRefreshSeen",
				"group %s: instance refresh %s is under way, and until it is over no node of the group is scaled down", g.Name, g.Refresh.ID)
		}
	}
	l.refreshes = now
}
