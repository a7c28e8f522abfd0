package loop

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/act"
	"github.com/joinery/joinery/autoscaler/asg"
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
