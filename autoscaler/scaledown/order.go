package scaledown

import (
	"cmp"
	"slices"
)

// run are candidates that come in the same place of the order but for the zones
// of their groups: the fuller zone of a group gives first, so that what remains
// is in balance.
type run struct {
	queues []*queue
}

// queue are the candidates of a run in one zone of one group, by name.
type queue struct {
	group *group
	zone  string
	list  []*candidate
}

// runs orders candidates: those whose time has come first, empty ones before
// others, then the least used.
func runs(candidates []*candidate) []*run {
	sorted := slices.Clone(candidates)
	compare := func(a, b *candidate) int {
		return cmp.Or(
			boolFirst(a.wait == "", b.wait == ""),
			boolFirst(a.empty(), b.empty()),
			cmp.Compare(a.utilization, b.utilization))
	}
	slices.SortStableFunc(sorted, compare)
	var out []*run
	for i, c := range sorted {
		if i == 0 || compare(sorted[i-1], c) != 0 {
			out = append(out, &run{})
		}
		out[len(out)-1].add(c)
	}
	return out
}

func (r *run) add(c *candidate) {
	for _, q := range r.queues {
		if q.group == c.group && q.zone == c.node.Zone {
			q.list = append(q.list, c)
			return
		}
	}
	r.queues = append(r.queues, &queue{c.group, c.node.Zone, []*candidate{c}})
}

// next takes the next candidate out, nil when there is none left.
func (r *run) next(p *planner) *candidate {
	var best *queue
	most := 0
	for _, q := range r.queues {
		if len(q.list) == 0 {
			continue
		}
		count := p.s.ZoneCount(q.group.Name, q.zone) - q.group.gone[q.zone]
		if best == nil || count > most || count == most && q.list[0].node.Name() < best.list[0].node.Name() {
			best, most = q, count
		}
	}
	if best == nil {
		return nil
	}
	c := best.list[0]
	best.list = best.list[1:]
	return c
}

// lastFirst are the run's candidates about in the reverse order of choice, zone by
// zone in turn, so that what is moved gathers on nodes of all zones.
func (r *run) lastFirst() []*candidate {
	longest := 0
	for _, q := range r.queues {
		longest = max(longest, len(q.list))
	}
	var out []*candidate
	for back := range longest {
		for _, q := range r.queues {
			if at := len(q.list) - 1 - back; at >= 0 {
				out = append(out, q.list[at])
			}
		}
	}
	return out
}

func boolFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}
