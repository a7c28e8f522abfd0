package loop

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/distrust"
	"github.com/joinery/joinery/autoscaler/explain"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// doubt compares the plan with what the scheduler says, and tells which classes of
// pods it refuses where the plan has a place for them.
func (l *Loop) doubt(s *cluster.Snapshot, plan scaleup.Decision, now time.Time) {
	there := map[types.UID]string{} // pod -> node that is there
	for _, p := range plan.Placements {
		if n := s.Node(p.Node); n != nil && n.Kind == cluster.Joined {
			there[p.Pod.UID] = p.Node
		}
	}
	seen, of := map[string]distrust.Sighting{}, map[string]cluster.Pod{}
	for _, p := range s.Pending() {
		key := p.Class.Key
		sight := seen[key]
		sight.Class, sight.Fits = key, sight.Fits || there[p.UID] != ""
		if refused := l.pending.refused(p.UID); refused.After(sight.Refused) {
			sight.Refused = refused
		}
		seen[key] = sight
		if there[p.UID] != "" {
			of[key] = p
		}
	}
	for _, class := range l.distrust.Note(now, slices.Collect(maps.Values(seen))) {
		pod := of[class]
		l.metrics.distrusted.Inc()
		l.o.Log.Warn("the scheduler refuses a pod that should fit", "pod", cluster.Key(pod.Pod), "node", there[pod.UID])
		l.o.Events.Event(pod.Pod, corev1.EventTypeWarning, "SchedulerDisagrees", fmt.Sprintf(
			"it should fit on node %s, but the scheduler goes on refusing it: planning without the nodes that have not changed since", there[pod.UID]))
	}
}

// describeDistrusted lists the nodes that are no place for some pods, by name.
func describeDistrusted(d *explain.Decision, s *cluster.Snapshot) {
	classes := map[string]int{}
	for _, nodes := range s.Distrusted() {
		for _, n := range nodes {
			classes[n]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		if len(d.Distrusted) == shown {
			return
		}
		d.Distrusted = append(d.Distrusted, explain.Subject{Name: name, Reason: fmt.Sprintf("the scheduler refuses pods of %d kind(s) there that should fit", classes[name])})
	}
}
