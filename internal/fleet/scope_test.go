package fleet_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
)

func spec(discovery v1alpha1.Discovery, groups ...v1alpha1.GroupSettings) v1alpha1.ControllerSpec {
	return v1alpha1.ControllerSpec{Cluster: "demo", Autoscaler: v1alpha1.AutoscalerSettings{Discovery: discovery, Groups: groups}}
}

func TestWhichGroupsAreTheClusters(t *testing.T) {
	tagged := map[string]string{"k8s.io/cluster-autoscaler/enabled": "", "k8s.io/cluster-autoscaler/demo": "", "joinery:cluster": "demo"}
	for name, tc := range map[string]struct {
		discovery v1alpha1.Discovery
		group     fleet.Group
		want      string // part of the reason; "" for managed
	}{
		"named without a tag":         {v1alpha1.DiscoveryTags, fleet.Group{Name: "a"}, ""},
		"named, discovery off":        {v1alpha1.DiscoveryOff, fleet.Group{Name: "a"}, ""},
		"named and another cluster's": {v1alpha1.DiscoveryTags, fleet.Group{Name: "a", Tags: map[string]string{"joinery:cluster": "prod"}}, "another cluster"},
		"tagged":                      {v1alpha1.DiscoveryTags, fleet.Group{Name: "b", Tags: tagged}, ""},
		"tagged, discovery off":       {v1alpha1.DiscoveryOff, fleet.Group{Name: "b", Tags: tagged}, "spec.autoscaler.groups does not name it"},
		"neither":                     {v1alpha1.DiscoveryTags, fleet.Group{Name: "b"}, "missing tag"},
		"a name that only begins like a named one":   {v1alpha1.DiscoveryTags, fleet.Group{Name: "ab"}, "missing tag"},
		"a name in other case, as AWS tells apart":   {v1alpha1.DiscoveryTags, fleet.Group{Name: "A"}, "missing tag"},
		"tagged with its name and another cluster's": {v1alpha1.DiscoveryOff, fleet.Group{Name: "a", Tags: map[string]string{"joinery:cluster": ""}}, "another cluster"},
	} {
		g := fleet.ScopeOf(spec(tc.discovery, v1alpha1.GroupSettings{Name: "a"})).Group(tc.group)
		if got := g.Refusal("demo"); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// Whatever is set, bounds lie within the group's own, what is not set is the tag's, and
// what AWS said is not changed.
func TestSettingsNarrow(t *testing.T) {
	maybe := func(rng *rand.Rand) *int {
		if rng.IntN(3) == 0 {
			return nil
		}
		n := rng.IntN(12)
		return &n
	}
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 2))
		low := rng.IntN(6)
		was := fleet.Group{Name: "a", Min: low, Max: low + rng.IntN(6), Tags: map[string]string{"joinery:priority": "5", "other": "x"}}
		set := v1alpha1.GroupSettings{Name: "a", Min: maybe(rng), Max: maybe(rng), Priority: maybe(rng), Headroom: maybe(rng)}
		got := fleet.ScopeOf(spec(v1alpha1.DiscoveryTags, set)).Group(was)
		if got.Min < was.Min || got.Max > was.Max {
			t.Fatalf("seed %d: bounds %d to %d of a group of %d to %d", seed, got.Min, got.Max, was.Min, was.Max)
		}
		if set.Min != nil && got.Min < *set.Min || set.Max != nil && got.Max > *set.Max {
			t.Fatalf("seed %d: bounds %d to %d, set to %v to %v", seed, got.Min, got.Max, set.Min, set.Max)
		}
		if want := set.Tags()["joinery:priority"]; want == "" && got.Tags["joinery:priority"] != "5" || want != "" && got.Tags["joinery:priority"] != want {
			t.Fatalf("seed %d: priority %q, set to %q", seed, got.Tags["joinery:priority"], want)
		}
		if got.Tags["other"] != "x" || len(was.Tags) != 2 || was.Tags["joinery:priority"] != "5" {
			t.Fatalf("seed %d: tags %v, and AWS's are %v", seed, got.Tags, was.Tags)
		}
	}
}

// The instances of a named group are the cluster's, unless a tag says otherwise.
func TestInstancesOfNamedGroups(t *testing.T) {
	s := fleet.ScopeOf(spec(v1alpha1.DiscoveryTags, v1alpha1.GroupSettings{Name: "a"}))
	for _, tc := range []struct{ group, cluster, want string }{
		{"a", "", "demo"}, {"a", "demo", "demo"}, {"a", "prod", "prod"}, {"b", "", ""}, {"", "", ""}, {"b", "demo", "demo"},
	} {
		if got := s.Instance(fleet.Instance{Group: tc.group, Cluster: tc.cluster}).Cluster; got != tc.want {
			t.Errorf("group %q, tag %q: of cluster %q, want %q", tc.group, tc.cluster, got, tc.want)
		}
	}
}
