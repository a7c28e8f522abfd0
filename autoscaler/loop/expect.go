package loop

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/act"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/expectation"
	"github.com/joinery/joinery/autoscaler/explain"
	"github.com/joinery/joinery/autoscaler/scaledown"
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
		if l.expect.Moving() {
			launch.Alive = expectation.Alive(s)
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

// expectOfRemovals records which pods a plan moves. They are to find a place without a
// purchase.
func (l *Loop) expectOfRemovals(s *cluster.Snapshot, plan scaledown.Decision, now time.Time) {
	var alive map[expectation.Subject]int
	for i := range plan.Remove {
		r := &plan.Remove[i]
		n := s.Node(r.Node)
		if r.Empty || n == nil {
			continue
		}
		if alive == nil {
			alive = expectation.Alive(s)
		}
		moved := map[expectation.Subject]int{}
		for _, p := range n.Residents {
			if slices.Contains(r.Pods, cluster.Key(p.Pod)) {
				subject := expectation.SubjectOf(s.WithVolumes(p))
				moved[subject] = alive[subject]
			}
		}
		l.expect.RecordRemoval(expectation.Removal{Node: r.Node, At: now, Moved: moved})
		l.memory.launched = true
	}
}

// stay has the plan keep the nodes whose removal would be undone as the last one was.
func (l *Loop) stay(now time.Time, o *scaledown.Options) {
	if !l.expect.MayStay() {
		return
	}
	o.Stays = func(c *cluster.Class) string { return l.expect.Stays(expectation.SubjectOf(c), now) }
}
