package scaledown

import (
	"fmt"
	"time"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
)

// candidates finds the nodes that may be unneeded, by name, and reports why the
// others stay.
func (p *planner) candidates() []*candidate {
	var out []*candidate
	for _, n := range p.s.Nodes() {
		if n.Kind != cluster.Joined && n.Kind != cluster.Starting {
			continue
		}
		f := facts(n)
		if f.InGroup && f.Departing() {
			p.removing++
			// Auto Scaling lowers the desired capacity when it starts to
			// terminate; until then the node still counts in it.
			if !n.Instance.Leaving() {
				p.removable[n.Group]--
			}
		}
		if cause, text := p.drainer.Node(f); text != "" {
			p.needed(n, cause, text)
			continue
		}
		c := &candidate{node: n, group: p.s.Group(n.Group), utilization: utilization(n)}
		cause, text := p.look(c)
		if text != "" {
			p.needed(n, cause, text)
			continue
		}
		out = append(out, c)
	}
	return out
}

func inGroup(n *cluster.NodeState) bool { return n.Group != "" && n.Instance != nil }

// facts is the node as the rules see it.
func facts(n *cluster.NodeState) rules.NodeFacts {
	f := rules.NodeFacts{
		Node: n.Node(), InGroup: inGroup(n), Starting: n.Kind == cluster.Starting, Unusable: n.Unusable,
	}
	if n.Instance != nil {
		f.LifecycleState, f.Leaving = n.Instance.LifecycleState, n.Instance.Leaving()
	}
	return f
}

// look judges the pods of the node and finds out when it may go.
func (p *planner) look(c *candidate) (Cause, string) {
	var blocked string
	c.toMove, c.toDrop, blocked = p.drainer.judge(c.node.Pods())
	if blocked != "" {
		return BlockedByPod, blocked
	}
	said, since, _ := rules.Report(c.node.Node(), p.now, p.o.ReportTimeout)
	if c.empty() && said == rules.SaysPods {
		return Held, "its agent still sees pods running"
	}
	if !c.empty() && c.utilization >= p.o.UtilizationThreshold {
		return NotUnderutilized, fmt.Sprintf("used at %.0f %%, from %.0f %% on a node stays",
			100*c.utilization, 100*p.o.UtilizationThreshold)
	}
	if c.empty() && said == rules.SaysReady {
		c.since = since
		c.setWait(p.now, p.o.IdleDelay, time.Time{})
		return "", ""
	}
	c.since = unneededSince(c.node.Node())
	if c.since.IsZero() || c.since.After(p.now) {
		c.since = p.now
	}
	var held time.Time
	if !c.group.LastScaleUp.IsZero() {
		held = c.group.LastScaleUp.Add(p.o.DelayAfterAdd)
	}
	c.setWait(p.now, p.o.UnneededTime, held)
	return "", ""
}

// setWait works out what the node still waits for.
func (c *candidate) setWait(now time.Time, delay time.Duration, held time.Time) {
	ready := c.since.Add(delay)
	switch {
	case now.Before(ready):
		c.cause = NotUnneededLong
		c.wait = "unneeded, may go from " + ready.UTC().Format(time.RFC3339)
	case now.Before(held):
		c.cause = RecentlyAdded
		c.wait = "its group has just grown, may go from " + held.UTC().Format(time.RFC3339)
	}
}

// utilization is the larger share of cpu and memory that the requests of the
// node's pods take, expendable ones not counted.
func utilization(n *cluster.NodeState) float64 {
	cpu, memory := n.Info.Requested.MilliCPU, n.Info.Requested.Memory
	for _, pi := range n.Info.GetPods() {
		if cluster.Expendable(pi.GetPod()) {
			r := pi.CalculateResource().Resource
			cpu -= r.GetMilliCPU()
			memory -= r.GetMemory()
		}
	}
	return max(share(cpu, n.Info.Allocatable.MilliCPU), share(memory, n.Info.Allocatable.Memory))
}

func share(part, whole int64) float64 {
	if whole <= 0 {
		return 1
	}
	return float64(part) / float64(whole)
}

// placeIncoming puts the pods that wait for a node on the nodes where they would
// land, so that these are kept: first on nodes that stay anyway and on capacity
// on its way, then on candidates. A pod that fits nowhere keeps no node.
func (p *planner) placeIncoming(candidates []*candidate) {
	isCandidate := make(map[*cluster.NodeState]bool, len(candidates))
	for _, c := range candidates {
		isCandidate[c.node] = true
	}
	var staying, others []*cluster.NodeState
	for _, n := range p.s.Nodes() {
		switch {
		case n.Unusable != "":
		case isCandidate[n]:
			others = append(others, n)
		default:
			staying = append(staying, n)
		}
	}
	packer := fit.NewPacker(p.checker, append(staying, others...))
	for _, pod := range p.s.Incoming() {
		if cluster.Expendable(pod) {
			continue
		}
		if p.s.Nominate(pod) {
			p.neededBy[pod.Status.NominatedNodeName] = pod
			continue
		}
		if home := packer.Place(pod); home != nil && p.neededBy[home.Name()] == nil {
			p.neededBy[home.Name()] = pod
		}
	}
}
