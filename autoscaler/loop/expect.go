package loop

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/act"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/expectation"
	"github.com/joinery/joinery/autoscaler/explain"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// judge settles what has come of earlier launches. It reports whether the groups are
// to be looked at again with what follows from that.
func (l *Loop) judge(ctx context.Context, s *cluster.Snapshot) (changed bool) {
	outcomes, changed := l.expect.Judge(s)
	for _, o := range outcomes {
		if o.Missed {
			if said := l.groups.ZoneFailure(ctx, o.Group, o.Zone, o.At); said != "" {
				l.expect.Because(o, said, s.Now())
				o.Cause += ": " + said
				changed = true
			}
		}
		l.metrics.expectations.WithLabelValues(string(o.Kind)).Inc()
		if o.Cause == "" {
			continue
		}
		l.o.Log.Warn("launch was in vain", "group", o.Group, "instance", o.Instance, "outcome", o.Kind, "reason", o.Cause)
		if len(l.decision.Judged) < shown {
			l.decision.Judged = append(l.decision.Judged, explain.Subject{Name: o.Group, Reason: o.Cause})
		}
	}
	return changed
}

// brake has the plan buy nothing that the ledger is against.
func (l *Loop) brake(s *cluster.Snapshot, now time.Time, o *scaleup.Options) {
	if l.expect.Idle() {
		return
	}
	subjects := map[int]expectation.Subject{} // by class
	subjectOf := func(c *cluster.Class) expectation.Subject {
		if _, ok := subjects[c.ID]; !ok {
			subjects[c.ID] = expectation.SubjectOf(c)
		}
		return subjects[c.ID]
	}
	o.Held = func(p cluster.Pod) scaleup.Hold {
		reason, coming := l.expect.Held(p.UID, subjectOf(p.Class), now)
		return scaleup.Hold{Reason: reason, Coming: coming}
	}
	version := func(group string) string {
		if g := s.Group(group); g != nil {
			return g.LaunchTemplateVersion
		}
		return ""
	}
	o.Brakes = func(c *cluster.Class) map[string]string { return l.expect.Refusals(subjectOf(c), version, now) }
}

// expectOf records what AWS was asked for, and for which pods.
func (l *Loop) expectOf(s *cluster.Snapshot, plan scaleup.Decision, results []act.Increased) {
	var pods map[string][]expectation.Pod // planned node -> its pods
	for _, r := range results {
		if !r.Changed() {
			continue
		}
		if pods == nil {
			pods = plannedPods(s, plan)
		}
		g := s.Group(r.Group)
		launch := expectation.Launch{Group: r.Group, Version: g.LaunchTemplateVersion, Type: g.InstanceType, At: r.At}
		added := map[string]int{}
		for _, n := range plan.NewNodes {
			if n.Group != r.Group || len(launch.Nodes) == r.Raised.To-r.Raised.From {
				continue
			}
			launch.Nodes = append(launch.Nodes, expectation.Node{Zone: n.Zone, Sure: s.SureZone(n.Group, n.Zone, added), Pods: pods[n.Name]})
			added[n.Zone]++
		}
		l.expect.Record(launch)
		l.memory.launched = true
	}
}

// plannedPods lists the pods that a plan puts on each node that it adds.
func plannedPods(s *cluster.Snapshot, plan scaleup.Decision) map[string][]expectation.Pod {
	planned := map[string]bool{}
	for _, n := range plan.NewNodes {
		planned[n.Name] = true
	}
	subjects := map[types.UID]expectation.Subject{}
	byClass := map[int]expectation.Subject{}
	for _, p := range s.Pending() {
		if _, ok := byClass[p.Class.ID]; !ok {
			byClass[p.Class.ID] = expectation.SubjectOf(p.Class)
		}
		subjects[p.UID] = byClass[p.Class.ID]
	}
	out := map[string][]expectation.Pod{}
	for _, p := range plan.Placements {
		if planned[p.Node] {
			out[p.Node] = append(out[p.Node], expectation.Pod{UID: p.Pod.UID, Subject: subjects[p.Pod.UID]})
		}
	}
	return out
}
