package loop

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/joinery/joinery/autoscaler/act"
	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/explain"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// shown bounds the subjects of one kind that a decision keeps, so that the ring
// stays small in a large cluster.
const shown = 100

func describeGroups(d *explain.Decision, groups []cluster.Group, skipped []asg.Skipped, now time.Time) {
	for i := range groups {
		g := &groups[i]
		e := explain.Group{Name: g.Name, Min: g.Min, Desired: g.Desired, Max: g.Max}
		switch {
		case g.TemplateError != nil:
			e.Blocked = g.TemplateError.Error()
		case g.Suspends(cluster.ProcessLaunch):
			e.Blocked = "its process Launch is suspended"
		case g.BackedOff(now):
			e.Blocked = "backed off until " + g.BackoffUntil.UTC().Format(time.RFC3339) + ": " + g.BackoffReason
		}
		if e.Blocked == "" {
			e.Blocked = cmp.Or(g.Unhealthy, closedZones(g))
		}
		if g.Refresh != nil {
			e.Refresh = fmt.Sprintf("instance refresh %s is %s, %d %% done", g.Refresh.ID, g.Refresh.Status, g.Refresh.Done)
		}
		d.Groups = append(d.Groups, e)
	}
	for _, s := range skipped {
		d.Skipped = append(d.Skipped, explain.Subject{Name: s.Group, Reason: s.Reason})
	}
}

// closedZones lists the zones of a group that are closed for now.
func closedZones(g *cluster.Group) string {
	var out []string
	for _, zone := range slices.Sorted(maps.Keys(g.ClosedZones)) {
		out = append(out, "zone "+zone+": "+g.ClosedZones[zone])
	}
	return strings.Join(out, "; ")
}

// describeExcluded lists the Nodes that count as nothing, by name.
func describeExcluded(d *explain.Decision, s *cluster.Snapshot) {
	for _, n := range s.Nodes() {
		if n.Excluded == "" {
			continue
		}
		if len(d.Excluded) == shown {
			return
		}
		d.Excluded = append(d.Excluded, explain.Subject{Name: n.Name(), Reason: n.Excluded})
	}
}

func explainGrowth(d *explain.Decision, plan scaleup.Decision, results []act.Increased) {
	for _, r := range results {
		inc := explain.Increase{Group: r.Group, From: r.Raised.From, To: r.Raised.To, Reason: r.Reason}
		if r.Err != nil {
			inc.From, inc.To, inc.Error = r.Increase.From, r.Increase.To, r.Err.Error()
		}
		for _, p := range r.Pods[:min(len(r.Pods), shown)] {
			inc.Pods = append(inc.Pods, p.String())
		}
		d.Increases = append(d.Increases, inc)
	}
	d.Waiting = podSubjects(plan.Waiting)
	d.Unhelped = podSubjects(plan.Unhelped)
}

func podSubjects(pods []scaleup.PodReason) []explain.Subject {
	var out []explain.Subject
	for _, p := range pods[:min(len(pods), shown)] {
		out = append(out, explain.Subject{Name: p.Pod.String(), Reason: p.Reason})
	}
	return out
}

func explainShrinking(d *explain.Decision, plan scaledown.Decision) {
	d.Brake = plan.Brake
	for _, l := range plan.Lost[:min(len(plan.Lost), shown)] {
		d.Lost = append(d.Lost, explain.Subject{Name: l.Node, Reason: cmp.Or(l.Kept, "waits for its time")})
	}
	for _, r := range plan.Replace[:min(len(plan.Replace), shown)] {
		d.Removals = append(d.Removals, explain.Subject{Name: r.Node, Reason: r.Reason + "; its group is at its minimum, so AWS launches another"})
	}
	for _, r := range plan.Remove[:min(len(plan.Remove), shown)] {
		d.Removals = append(d.Removals, explain.Subject{Name: r.Node, Reason: r.Reason})
	}
	for _, stays := range [][]scaledown.NodeReason{plan.Waiting, plan.Needed} {
		for _, n := range stays[:min(len(stays), shown)] {
			d.Needed = append(d.Needed, explain.Subject{Name: n.Node, Reason: string(n.Cause) + ": " + n.Message})
		}
	}
}
