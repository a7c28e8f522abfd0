package expectation

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Apply sets in each group what the account says about its growing at now: the pause,
// zones that are closed, and what may be tried with one node. Instances that were met
// earlier than this process knows get that time.
func (l *Ledger) Apply(groups []cluster.Group, now time.Time) {
	for i := range groups {
		g := &groups[i]
		g.BackoffUntil, g.BackoffReason, g.Trial, g.DoubtedSince = time.Time{}, "", "", time.Time{}
		if len(g.ClosedZones) > 0 { // applied before
			g.Zones = slices.Sorted(slices.Values(slices.AppendSeq(slices.Clone(g.Zones), maps.Keys(g.ClosedZones))))
		}
		g.ClosedZones, g.TrialZones, g.Unhealthy = nil, nil, l.unhealthy[g.Name]
		if p := l.places[groupPlace(g)]; p != nil {
			g.BackoffUntil, g.BackoffReason = p.Until, p.Cause
			switch {
			case !now.Before(p.Until):
				g.Trial = p.Cause
			case p.Came:
				g.DoubtedSince = p.Failed
			}
		}
		l.applyZones(g, now)
		l.date(g)
	}
}

func (l *Ledger) applyZones(g *cluster.Group, now time.Time) {
	var open []string
	var soonest *pause
	for _, zone := range g.Zones {
		p := l.places[Place{Group: g.Name, Zone: zone, Type: g.InstanceType}]
		switch {
		case p == nil:
			open = append(open, zone)
		case now.Before(p.Until):
			g.ClosedZones = with(g.ClosedZones, zone, fmt.Sprintf("%s (backed off until %s)", p.Cause, p.Until.UTC().Format(time.RFC3339)))
			if soonest == nil || p.Until.Before(soonest.Until) {
				soonest = p
			}
		default:
			open = append(open, zone)
			g.TrialZones = with(g.TrialZones, zone, p.Cause)
		}
	}
	switch {
	case len(g.ClosedZones) == 0:
	case len(open) == 0:
		// The group as a whole has no place left.
		g.ClosedZones = nil
		if g.BackoffUntil.Before(soonest.Until) {
			g.BackoffUntil, g.BackoffReason = soonest.Until, soonest.Cause
		}
	default:
		g.Zones = open
	}
}

func with(m map[string]string, key, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

// date gives the instances the time at which they were met by any leader.
func (l *Ledger) date(g *cluster.Group) {
	g.Instances = slices.Clone(g.Instances)
	for i := range g.Instances {
		in := &g.Instances[i]
		if at, ok := l.met[in.ID]; ok && (in.LaunchedAt.IsZero() || at.Before(in.LaunchedAt)) {
			in.LaunchedAt = at
		}
	}
}
