package scaleup_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// perZone are groups for one zone each whose nodes are the same but for what edit does to
// the second.
func perZone(edit func(*cluster.Group)) []cluster.Group {
	var out []cluster.Group
	for _, z := range []string{"a", "b"} {
		g := ct.Group("workers-"+z, 0, 0, 100, "8", "32Gi", "us-west-2"+z)
		g.Template.Labels = map[string]string{"team": "web", "eks.amazonaws.com/nodegroup": g.Name, cluster.EBSZoneLabel: "us-west-2" + z}
		out = append(out, g)
	}
	edit(&out[1])
	return out
}

func memory(capacity, allocatable string) func(*cluster.Group) {
	return func(g *cluster.Group) {
		g.Template.Capacity[corev1.ResourceMemory] = resource.MustParse(capacity)
		g.Template.Allocatable[corev1.ResourceMemory] = resource.MustParse(allocatable)
	}
}

// growthOf is how many nodes each group gets for pods that fill ten nodes.
func growthOf(t *testing.T, groups []cluster.Group, o scaleup.Options) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, inc := range plan(t, cluster.Input{Groups: groups, Pods: pending(40, "1900m", "7Gi")}, o).Increases {
		out[inc.Group] = inc.To - inc.From
	}
	return out
}

// Groups whose nodes differ within Cluster Autoscaler's tolerances grow in turn, with and
// without prices. Of others the better one grows.
func TestNearIdenticalGroupsAreBalanced(t *testing.T) {
	ratio := func(f float64) *float64 { return &f }
	for name, tt := range map[string]struct {
		edit     func(*cluster.Group)
		o        scaleup.Options
		balanced bool
	}{
		"the same":                       {func(*cluster.Group) {}, scaleup.Options{}, true},
		"1 % of memory":                  {memory("33100Mi", "33100Mi"), scaleup.Options{}, true},
		"2 % of memory":                  {memory("33500Mi", "33500Mi"), scaleup.Options{}, false},
		"4 % of allocatable":             {memory("32Gi", "34000Mi"), scaleup.Options{}, true},
		"6 % of allocatable":             {memory("32Gi", "35000Mi"), scaleup.Options{}, false},
		"2 % of memory, 3 % tolerated":   {memory("33500Mi", "33500Mi"), scaleup.Options{Balance: scaleup.Balance{Memory: ratio(0.03)}}, true},
		"1 % of memory, none tolerated":  {memory("33100Mi", "33100Mi"), scaleup.Options{Balance: scaleup.Balance{Memory: ratio(0)}}, false},
		"4 % of allocatable, 3 % is all": {memory("32Gi", "34000Mi"), scaleup.Options{Balance: scaleup.Balance{Allocatable: ratio(0.03)}}, false},
		"4 % free, 3 % is all":           {memory("32Gi", "34000Mi"), scaleup.Options{Balance: scaleup.Balance{Free: ratio(0.03)}}, false},
		"another label": {func(g *cluster.Group) {
			memory("33100Mi", "33100Mi")(g)
			g.Template.Labels["rack"] = "7"
		}, scaleup.Options{}, false},
		"another label that is ignored": {func(g *cluster.Group) {
			memory("33100Mi", "33100Mi")(g)
			g.Template.Labels["rack"] = "7"
		}, scaleup.Options{Balance: scaleup.Balance{IgnoreLabels: []string{"rack"}}}, true},
		"another taint": {func(g *cluster.Group) {
			memory("33100Mi", "33100Mi")(g)
			g.Template.Taints = []corev1.Taint{{Key: "x", Effect: corev1.TaintEffectPreferNoSchedule}}
		}, scaleup.Options{}, false},
		"one GPU more": {func(g *cluster.Group) {
			memory("33100Mi", "33100Mi")(g)
			g.Template.Capacity["nvidia.com/gpu"] = resource.MustParse("1")
		}, scaleup.Options{}, false},
	} {
		for _, price := range []float64{0, 0.1} {
			groups := perZone(tt.edit)
			groups[0].Price, groups[1].Price = price, price
			got := growthOf(t, groups, tt.o)
			want := map[string]int{"workers-a": 5, "workers-b": 5}
			if balanced := maps.Equal(got, want); balanced != tt.balanced {
				t.Errorf("%s, price %v: %v", name, price, got)
			}
		}
	}
}

// The cheaper one of two groups that are otherwise the same grows.
func TestPriceIsNotBalanced(t *testing.T) {
	groups := perZone(func(*cluster.Group) {})
	groups[0].Price, groups[1].Price = 0.2, 0.1
	if got := growthOf(t, groups, scaleup.Options{}); !maps.Equal(got, map[string]int{"workers-b": 10}) {
		t.Errorf("grew by %v", got)
	}
}

// Near-identical groups of random sizes come as near to each other as the pods allow, and
// all pods get their place.
func TestBalanceOfRandomGroups(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		var groups []cluster.Group
		for i := range 2 + r.IntN(3) {
			z := fmt.Sprintf("us-west-2%c", 'a'+i)
			g := ct.Group("g-"+z, 0, r.IntN(3), 1000, "8", "32Gi", z)
			g.Template.Labels = map[string]string{"eks.amazonaws.com/nodegroup": g.Name}
			bytes := resource.NewQuantity(32<<30+r.Int64N(32<<30/100), resource.BinarySI)
			g.Template.Capacity[corev1.ResourceMemory], g.Template.Allocatable[corev1.ResourceMemory] = *bytes, *bytes
			groups = append(groups, g)
		}
		d := plan(t, cluster.Input{Groups: groups, Pods: pending(40+r.IntN(60), "1900m", fmt.Sprint(1+r.IntN(8), "Gi"))}, scaleup.Options{AsScheduled: r.IntN(2) == 0})
		sizes := map[string]int{}
		for _, g := range groups {
			sizes[g.Name] = g.Desired
		}
		for _, inc := range d.Increases {
			sizes[inc.Group] = inc.To
		}
		least, most := 1000, 0
		for _, n := range sizes {
			least, most = min(least, n), max(most, n)
		}
		if most-least > 1 || len(d.Unhelped) > 0 {
			t.Fatalf("seed %d: %v: %s", seed, sizes, brief(d))
		}
	}
}
