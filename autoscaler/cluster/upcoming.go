package cluster

import (
	"fmt"
	"slices"
)

// setUpcoming imagines the nodes that are on their way: instances of a group
// that have no Node yet, and capacity that the group was asked for and has not
// launched. A group that is backed off has failed to launch, so what is missing
// there is not counted; nor is an instance that has been without a Node for
// longer than StartupTimeout.
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
			if !joined[inst.ID] && young(inst.LaunchedAt, s.now) {
				s.imagine(g, "upcoming-"+inst.ID, inst.Zone, Upcoming).Instance = inst
			}
		}
		if g.BackedOff(s.now) {
			continue
		}
		for i := range g.Desired - members {
			zone := s.NextZone(g.Name)
			s.zones[g.Name][zone]++
			s.imagine(g, fmt.Sprintf("upcoming-%s-%d", g.Name, i+1), zone, Upcoming)
		}
	}
}

// imagine adds a node of the group's template with its daemons. Its zone must
// have been counted already.
func (s *Snapshot) imagine(g *Group, name, zone string, kind Kind) *NodeState {
	st := &NodeState{Info: nodeInfo(g.Template.Node(name, zone)), Kind: kind, Group: g.Name, Zone: zone}
	s.insert(st)
	s.addDaemons(st)
	return st
}

// NextZone predicts the zone that the group would launch its next instance in:
// the one with the fewest of its instances (Auto Scaling keeps the zones of a
// group balanced), the first by name of several. Empty when the group names no
// zone.
func (s *Snapshot) NextZone(group string) string {
	g, best := s.Group(group), ""
	for i, zone := range g.Zones {
		if i == 0 || s.zones[group][zone] < s.zones[group][best] {
			best = zone
		}
	}
	return best
}

// ZoneCount tells how many instances of the group are in the zone, upcoming and
// planned ones among them, leaving ones not.
func (s *Snapshot) ZoneCount(group, zone string) int { return s.zones[group][zone] }

// AddPlanned adds an empty node of the group in the zone that the group would
// launch it in, with its daemons. The group must have a template.
func (s *Snapshot) AddPlanned(group, name string) *NodeState {
	return s.AddPlannedIn(group, name, s.NextZone(group))
}

// AddPlannedIn adds an empty node of the group in a given zone.
func (s *Snapshot) AddPlannedIn(group, name, zone string) *NodeState {
	s.zones[group][zone]++
	st := s.imagine(s.Group(group), name, zone, Planned)
	s.log(func() {
		s.drop(st)
		s.zones[group][zone]--
	})
	return st
}

// drop takes a node out of all lists. The lists are copied: somebody may be
// ranging over the old ones.
func (s *Snapshot) drop(st *NodeState) {
	delete(s.nodes, st.Name())
	i := slices.Index(s.order, st)
	s.order = slices.Concat(s.order[:i], s.order[i+1:])
	s.infos = slices.Concat(s.infos[:i], s.infos[i+1:])
}
