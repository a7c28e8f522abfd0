package fleet

import (
	"maps"
	"slices"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Scope says where a cluster's groups are looked for, and what its configuration sets
// for those that it names.
type Scope struct {
	Cluster string
	// DiscoveryOff says that only named groups are the cluster's.
	DiscoveryOff bool
	named        map[string]v1alpha1.GroupSettings
}

// ScopeOf returns the scope of a controller's configuration.
func ScopeOf(s v1alpha1.ControllerSpec) Scope {
	out := Scope{Cluster: s.Cluster, DiscoveryOff: s.Autoscaler.Discovery == v1alpha1.DiscoveryOff, named: map[string]v1alpha1.GroupSettings{}}
	for _, g := range s.Autoscaler.Groups {
		out.named[g.Name] = g
	}
	return out
}

// Names returns the groups that are named, sorted.
func (s Scope) Names() []string { return slices.Sorted(maps.Keys(s.named)) }

// Group returns the group as it is to be looked at: whether it is named, and with what
// the configuration sets, by the one rule of precedence:
//   - a setting of the configuration goes before the group's tag of the same meaning;
//   - bounds narrow the group's own and never widen them, because AWS refuses what is
//     beyond those. Where nothing is left between them, Min is above Max and the group
//     neither grows nor shrinks.
func (s Scope) Group(g Group) Group {
	set, named := s.named[g.Name]
	g.Named, g.Unlisted = named, s.DiscoveryOff && !named
	if !named {
		return g
	}
	if set.Min != nil {
		g.Min = max(g.Min, *set.Min)
	}
	if set.Max != nil {
		g.Max = min(g.Max, *set.Max)
	}
	g.Tags = maps.Clone(g.Tags)
	if g.Tags == nil {
		g.Tags = map[string]string{}
	}
	maps.Copy(g.Tags, set.Tags())
	return g
}

// Instance returns the instance as one of the cluster if it has no tag that names one
// and belongs to a named group. Which group that is, EC2 says by a tag of AWS's own,
// which nobody else can set.
func (s Scope) Instance(i Instance) Instance {
	if _, named := s.named[i.Group]; named && i.Cluster == "" {
		i.Cluster = s.Cluster
	}
	return i
}
