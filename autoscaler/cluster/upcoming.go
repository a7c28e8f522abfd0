package cluster

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// setUpcoming imagines the nodes that are on their way: instances of a group
// that have no Node yet, and capacity that the group was asked for and has not
// launched. A group that is backed off has failed to launch, so what is missing
// there is not counted, nor while its process Launch is suspended; nor is an instance
// that has been without a Node for longer than StartupTimeout, one that has been a
// Node before, nor one that is Doubted.
func (s *Snapshot) setUpcoming() {
	joined := make(map[InstanceID]bool, len(s.order))
	for _, st := range s.order {
		if st.Instance != nil {
			joined[st.Instance.ID] = true
		}
	}
	for gi := range s.groups {
		g := &s.groups[gi]
		if g.Template == nil {
			continue
		}
		members := 0
		for ii := range g.Instances {
			inst := &g.Instances[ii]
			if inst.Leaving() || inst.OutOfService() {
				continue
			}
			members++
			if !joined[inst.ID] && !s.in.Joined[inst.ID] && !g.Doubted(inst) && young(inst.LaunchedAt, s.now) {
				st := s.imagine(g, "upcoming-"+inst.ID, inst.Zone, Upcoming)
				st.Instance = inst
				s.insert(st)
			}
		}
		if g.BackedOff(s.now) || g.Suspends(ProcessLaunch) {
			continue
		}
		for i := range g.Desired - members {
			zone := s.NextZone(g.Name, nil)
			s.zones[g.Name][zone]++
			s.insert(s.imagine(g, fmt.Sprintf("upcoming-%s-%d", g.Name, i+1), zone, Upcoming))
		}
	}
}

// imagine makes a node of the group's template with the pods that each of its nodes has.
func (s *Snapshot) imagine(g *Group, name, zone string, kind Kind) *NodeState {
	st := &NodeState{Kind: kind, Group: g.Name, Zone: zone, AttachLimits: g.Template.AttachLimits}
	st.setNode(g.Template.node(name, zone, &s.in.Taints))
	st.setDaemons(append(missingDaemons(s.daemonsOf(g.Name), st.node, nil), s.staticOf(g.Name, name, nil)...))
	return st
}

// Imagine gives an empty node of the group in a zone, with its daemons, as one
// that a plan would add. It is not part of the snapshot. The group must have a
// template.
func (s *Snapshot) Imagine(group, name, zone string) *NodeState {
	return s.imagine(s.Group(group), name, zone, Planned)
}

// NewNodePods is Imagine for those who want the objects.
func (s *Snapshot) NewNodePods(group, name, zone string) (*corev1.Node, []*corev1.Pod) {
	st := s.Imagine(group, name, zone)
	return st.node, st.Pods()
}

// NextZone predicts the zone that the group would launch its next instance in:
// the one with the fewest of its instances (Auto Scaling keeps the zones of a
// group balanced), the first by name of several. added: zone -> instances that a
// plan adds to those of the snapshot; nil for none. Empty when the group names no
// zone.
func (s *Snapshot) NextZone(group string, added map[string]int) string {
	g, best := s.Group(group), ""
	for i, zone := range g.Zones {
		if i == 0 || s.zones[group][zone]+added[zone] < s.zones[group][best]+added[best] {
			best = zone
		}
	}
	return best
}

// SureZone reports whether the group's next instance comes in the zone unless that has
// no capacity: no other zone of the group has as few. added is as for NextZone.
func (s *Snapshot) SureZone(group, zone string, added map[string]int) bool {
	for _, other := range s.Group(group).Zones {
		if other != zone && s.zones[group][other]+added[other] <= s.zones[group][zone]+added[zone] {
			return false
		}
	}
	return true
}

// ZoneCount tells how many instances of the group are in the zone, upcoming ones
// among them, leaving ones not.
func (s *Snapshot) ZoneCount(group, zone string) int { return s.zones[group][zone] }
