package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
)

// The tags by which Cluster Autoscaler finds groups (its AWS README,
// "Auto-Discovery Setup"). Only their keys matter.
const (
	// EnabledTag is the discovery tag that all managed groups carry.
	EnabledTag = v1alpha1.TagPrefix + "enabled"
)

// ClusterTagKey returns the key of the discovery tag that names a cluster.
func ClusterTagKey(cluster string) string { return v1alpha1.TagPrefix + cluster }

// TemplateRef names a version of a launch template.
type TemplateRef struct {
	// ID or Name of the template; AWS gives both where it names a real launch.
	ID, Name string
	// Version is a number, $Latest or $Default; empty stands for the latter.
	Version string
}

// Member is what Auto Scaling says about one instance of a group.
type Member struct {
	// ID of the instance.
	ID string
	// Zone is the availability zone, such as us-west-2a.
	Zone string
	// Type is the EC2 instance type, such as t3.medium.
	Type string
	// LifecycleState is where the instance is in its group's life.
	LifecycleState Lifecycle
	// Protected says that scale-in protection is set on the instance.
	Protected bool
	// LaunchTemplateID, LaunchTemplateName and LaunchTemplateVersion name what the
	// instance was launched from, the version by its number; all are empty for a
	// launch configuration.
	LaunchTemplateID, LaunchTemplateName, LaunchTemplateVersion string
	// LaunchedAt is when the instance was launched, or a later time at which it was
	// seen; zero when not known: Auto Scaling does not say it.
	LaunchedAt time.Time
}

// Leaving reports whether the group is getting rid of the instance, see
// Lifecycle.Leaving.
func (m Member) Leaving() bool { return m.LifecycleState.Leaving() }

// OutOfService reports whether the instance takes no part in the desired capacity
// and is not coming, see Lifecycle.OutOfService.
func (m Member) OutOfService() bool { return m.LifecycleState.OutOfService() }

// Template names what the instance was launched from; nil for a launch configuration.
func (m Member) Template() *TemplateRef {
	ref := TemplateRef{ID: m.LaunchTemplateID, Name: m.LaunchTemplateName, Version: m.LaunchTemplateVersion}
	if ref == (TemplateRef{}) {
		return nil
	}
	return &ref
}

// Launch is what a group launches instances from.
type Launch struct {
	// Template of the group or of its mixed instances policy; nil for none.
	Template *TemplateRef
	// Configuration is the name of a launch configuration; empty for none.
	Configuration string
	// Overrides are those of a mixed instances policy.
	Overrides []Override
}

// Override is one of a mixed instances policy.
type Override struct {
	// Type is the instance type; empty when it is not named.
	Type string
	// Weight is the weighted capacity as AWS has it, a number; empty stands for 1.
	Weight string
	// Requirements says that types are chosen by attributes.
	Requirements bool
	// Template is a launch template of its own; nil for the group's.
	Template *TemplateRef
}

// Templates returns the templates that instances are launched from, each once: those of
// the overrides, which is the group's where one names none, or without overrides the
// group's. A launch configuration has none.
func (l Launch) Templates() []TemplateRef {
	var all []TemplateRef
	add := func(ref *TemplateRef) {
		if ref != nil && !slices.Contains(all, *ref) {
			all = append(all, *ref)
		}
	}
	for _, o := range l.Overrides {
		add(cmp.Or(o.Template, l.Template))
	}
	if len(l.Overrides) == 0 {
		add(l.Template)
	}
	return all
}

// Group is what Auto Scaling says about a group.
type Group struct {
	Name string
	// Min, Max and Desired are the group's sizes in instances.
	Min, Max, Desired int
	// Zones that the group may launch into, sorted.
	Zones []string
	// Tags by key.
	Tags map[string]string
	// Propagated has the keys of the tags that instances get at their launch.
	Propagated map[string]bool
	// ProtectsNew says that the group protects each new instance from scale-in.
	ProtectsNew bool
	// Suspended are the names of the group's suspended processes.
	Suspended []string
	// Status is set while the group is being deleted, and only then.
	Status string
	// Launch is what instances are launched from.
	Launch Launch
	// Named says that the controller's configuration names the group, Unlisted that it
	// does not although it must: see Scope.
	Named, Unlisted bool
	// Members are the group's instances sorted by id, without those in the warm
	// pool.
	Members []Member
	// WarmPool is the state that the warm pool keeps its instances in: Stopped,
	// Running or Hibernated; empty for a group without a pool.
	WarmPool string
	// Warm is how many instances the warm pool holds.
	Warm int
}

// Member returns the member of that id; false for none.
func (g *Group) Member(id string) (Member, bool) {
	at, ok := slices.BinarySearchFunc(g.Members, id, func(m Member, id string) int { return strings.Compare(m.ID, id) })
	if !ok {
		return Member{}, false
	}
	return g.Members[at], true
}

// WithMember returns the group with one more member, such as one of its warm pool.
func (g Group) WithMember(m Member) Group {
	g.Members = append(slices.Clone(g.Members), m)
	slices.SortFunc(g.Members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return g
}

// RunningPool reports whether the warm pool's instances keep their memory, so that
// they do not boot again.
func (g *Group) RunningPool() bool { return g.WarmPool == "Running" || g.WarmPool == "Hibernated" }

// Missing is how many instances the group was asked for and has not launched.
func (g *Group) Missing() int {
	members := 0
	for _, m := range g.Members {
		if !m.Leaving() && !m.OutOfService() {
			members++
		}
	}
	return g.Desired - members
}

// Managed reports whether the group is one of the cluster's, see Refusal.
func (g *Group) Managed(cluster string) bool { return g.Refusal(cluster) == "" }

// Refusal says why the group is not the cluster's to manage; empty when it is. This is
// the one rule, for growing and shrinking, hooks, labels and joins alike:
//   - v1alpha1.ClusterTag with another cluster's name refuses, whatever else holds;
//   - a group that the configuration names (Scope) is managed;
//   - where discovery is off, no other is;
//   - otherwise it carries both discovery tags, as Cluster Autoscaler asks for, and
//     v1alpha1.ClusterTag. A group without the last is not managed either: the
//     controller's role may change only groups that carry it or are named in the role
//     (deploy/iam), and a group that can be seen and not changed would be counted on
//     for pods that it never gets a node for.
func (g *Group) Refusal(cluster string) string {
	if owner, ok := g.Tags[v1alpha1.ClusterTag]; ok && owner != cluster {
		return fmt.Sprintf("tag %s names another cluster, %q", v1alpha1.ClusterTag, owner)
	}
	switch {
	case g.Named:
		return ""
	case g.Unlisted:
		return "spec.autoscaler.groups does not name it, and spec.autoscaler.discovery is off"
	}
	for _, key := range []string{EnabledTag, ClusterTagKey(cluster), v1alpha1.ClusterTag} {
		if _, ok := g.Tags[key]; !ok {
			return "missing tag " + key
		}
	}
	return ""
}

// NamesCluster reports whether any of the tags is a discovery tag of some cluster.
func NamesCluster(tags map[string]string) bool {
	for k := range tags {
		rest, ok := strings.CutPrefix(k, v1alpha1.TagPrefix)
		if ok && k != EnabledTag && !strings.Contains(rest, "/") {
			return true
		}
	}
	return false
}
