package scaleup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// priced makes a group of one zone with a price.
func priced(name string, price float64, cpu, memory string) cluster.Group {
	g := ct.Group(name, 0, 0, 50, cpu, memory, "us-west-2a")
	g.Price = price
	return g
}

func TestWhichGroupGrows(t *testing.T) {
	tests := []struct {
		name   string
		groups []cluster.Group
		pods   []*corev1.Pod
		o      scaleup.Options
		want   string
	}{
		{"the cheaper of two that are alike", []cluster.Group{priced("a", 0.10, "2", "4Gi"), priced("b", 0.09, "2", "4Gi")},
			pending(8, "500m", "512Mi"), scaleup.Options{}, "b 0->2(8)"},
		{"price for what is used, not for the node", []cluster.Group{priced("memory", 0.13, "2", "16Gi"), priced("plain", 0.10, "2", "8Gi")},
			pending(8, "100m", "3900Mi"), scaleup.Options{}, "memory 0->2(8)"},
		{"a small node for what is left over", []cluster.Group{priced("big", 0.40, "8", "16Gi"), priced("small", 0.11, "2", "4Gi")},
			pending(17, "1", "1Gi"), scaleup.Options{}, "big 0->2(16) small 0->1(1)"},
		{"a price is estimated by the core", []cluster.Group{priced("cheap", 0.01, "64", "256Gi"), priced("unpriced", 0, "2", "4Gi")},
			pending(4, "500m", "1Gi"), scaleup.Options{}, "unpriced 0->1(4)"},
		{"a higher priority comes first, whatever it costs", []cluster.Group{priced("a", 0.10, "2", "4Gi"), with(priced("reserved", 0.50, "2", "4Gi"), func(g *cluster.Group) { g.Priority = 1 })},
			pending(8, "500m", "512Mi"), scaleup.Options{}, "reserved 0->2(8)"},
		{"what a higher priority cannot take goes on", []cluster.Group{priced("a", 0.10, "2", "4Gi"), with(priced("reserved", 0.50, "2", "4Gi"), func(g *cluster.Group) { g.Priority, g.Max = 1, 1 })},
			pending(8, "500m", "512Mi"), scaleup.Options{}, "a 0->1(4) reserved 0->1(4)"},
		{"of equals the one with warm instances", []cluster.Group{priced("a", 0.10, "2", "4Gi"), with(priced("warm", 0.10, "2", "4Gi"), func(g *cluster.Group) { g.Warm = 2 })},
			pending(12, "500m", "512Mi"), scaleup.Options{}, "a 0->1(4) warm 0->2(8)"},
		{"of equals the larger node", []cluster.Group{priced("a", 0.10, "2", "4Gi"), priced("b", 0.20, "4", "8Gi")},
			pending(8, "500m", "512Mi"), scaleup.Options{}, "b 0->1(8)"},
		{"similar groups stay in balance", []cluster.Group{with(priced("a", 0.10, "2", "4Gi"), func(g *cluster.Group) { g.Desired = 2 }), priced("b", 0.10, "2", "4Gi"), priced("c", 0.10, "2", "4Gi")},
			pending(32, "500m", "512Mi"), scaleup.Options{}, "a 2->3(4) b 0->3(12) c 0->2(8)"},
		{"a backed off group's pods go elsewhere in the same plan", []cluster.Group{with(priced("a", 0.10, "2", "4Gi"), func(g *cluster.Group) { g.BackoffUntil = now.Add(time.Minute) }), priced("b", 0.20, "2", "4Gi")},
			pending(8, "500m", "512Mi"), scaleup.Options{}, "b 0->2(8)"},
		{"headroom", []cluster.Group{with(priced("a", 0.10, "2", "4Gi"), func(g *cluster.Group) { g.Headroom = 2 })},
			pending(4, "500m", "512Mi"), scaleup.Options{}, "a 0->3(4)"},
		{"headroom without pods", []cluster.Group{with(priced("a", 0.10, "2", "4Gi"), func(g *cluster.Group) { g.Headroom = 1 })},
			nil, scaleup.Options{}, "a 0->1(0)"},
		{"headroom within the maximum", []cluster.Group{with(priced("a", 0.10, "2", "4Gi"), func(g *cluster.Group) { g.Headroom, g.Max = 5, 2 })},
			pending(4, "500m", "512Mi"), scaleup.Options{}, "a 0->2(4)"},
		{"cores of the cluster", []cluster.Group{priced("a", 0.10, "2", "4Gi")}, pending(12, "500m", "512Mi"), scaleup.Options{MaxCores: 5}, "a 0->2(8)"},
		{"memory of the cluster", []cluster.Group{priced("a", 0.10, "2", "4Gi")}, pending(12, "500m", "512Mi"), scaleup.Options{MaxMemory: 4 << 30}, "a 0->1(4)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := checked(t, cluster.Input{Now: now, Groups: tt.groups, Pods: tt.pods}, tt.o)
			var parts []string
			for _, inc := range d.Increases {
				parts = append(parts, fmt.Sprintf("%s %d->%d(%d)", inc.Group, inc.From, inc.To, len(inc.Pods)))
			}
			if got := strings.Join(parts, " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func with(g cluster.Group, edit func(*cluster.Group)) cluster.Group {
	edit(&g)
	return g
}

func TestWarmInstancesAreNamed(t *testing.T) {
	g := with(priced("a", 0.10, "2", "4Gi"), func(g *cluster.Group) { g.Warm = 1 })
	d := plan(t, cluster.Input{Groups: []cluster.Group{g}, Pods: pending(8, "500m", "512Mi")}, scaleup.Options{})
	if len(d.Increases) != 1 || d.Increases[0].Warm != 1 {
		t.Errorf("%+v, want 1 of 2 nodes from the warm pool", d.Increases)
	}
}

// Zone spread over one group a zone is one decision: sixty pods over three zones,
// which Cluster Autoscaler answers with one node a loop.
func TestSpreadInOneDecision(t *testing.T) {
	var groups []cluster.Group
	for _, zone := range []string{"us-west-2a", "us-west-2b", "us-west-2c"} {
		groups = append(groups, ct.Group("g-"+zone, 0, 0, 50, "4", "16Gi", zone))
	}
	d := checked(t, cluster.Input{Now: now, Groups: groups, Pods: pending(60, "500m", "1Gi", ct.Spread(corev1.LabelTopologyZone, "web"))}, scaleup.Options{})
	if got, want := brief(d), "g-us-west-2a 0->3(20) g-us-west-2b 0->3(20) g-us-west-2c 0->3(20) waiting 0 unhelped 0"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// One group without a price leaves the others compared by theirs. Its own is estimated:
// from its family, else from the dearest core, and a resource that no priced group has
// makes it dear.
func TestUnknownPriceIsEstimatedForItsGroupAlone(t *testing.T) {
	of := func(g cluster.Group, instanceType string) cluster.Group { g.InstanceType = instanceType; return g }
	gpu := func(g cluster.Group) cluster.Group {
		g.Template.Allocatable["nvidia.com/gpu"], g.Template.Capacity["nvidia.com/gpu"] = resource.MustParse("1"), resource.MustParse("1")
		return g
	}
	pool := []cluster.Group{of(priced("on-demand", 0.384, "8", "32Gi"), "m5.2xlarge"), of(priced("spot", 0.12, "8", "32Gi"), "m5.2xlarge")}
	for _, tt := range []struct {
		name string
		more []cluster.Group
		want string
		says string
	}{
		{"all are known", nil, "spot 0->20(160)", ""},
		{"an unrelated one is not", []cluster.Group{of(priced("unpriced", 0, "64", "256Gi"), "x9.metal")}, "spot 0->20(160)", ""},
		{"one of the same family", []cluster.Group{of(priced("unpriced", 0, "8", "32Gi"), "m5.2xlarge")}, "spot 0->20(160)", ""},
		{"one with a GPU", []cluster.Group{gpu(of(priced("unpriced", 0, "8", "32Gi"), "g5.2xlarge"))}, "spot 0->20(160)", ""},
		{"a backed off one", []cluster.Group{with(priced("unpriced", 0, "8", "32Gi"), func(g *cluster.Group) { g.BackoffUntil = now.Add(time.Minute) })}, "spot 0->20(160)", ""},
		{"one that is needed", []cluster.Group{with(of(priced("unpriced", 0, "8", "32Gi"), "m5.2xlarge"), func(g *cluster.Group) { g.Priority = 1 })}, "unpriced 0->20(160)", "at an estimated $0.384 an hour each"},
	} {
		for _, asScheduled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, as scheduled %t", tt.name, asScheduled), func(t *testing.T) {
				d := checked(t, cluster.Input{Now: now, Groups: slices.Concat(pool, tt.more), Pods: pending(160, "950m", "1Gi")}, scaleup.Options{AsScheduled: asScheduled})
				var parts []string
				for _, inc := range d.Increases {
					parts = append(parts, fmt.Sprintf("%s %d->%d(%d)", inc.Group, inc.From, inc.To, len(inc.Pods)))
					if !strings.Contains(inc.Reason, tt.says) || tt.says == "" && strings.Contains(inc.Reason, "estimated") {
						t.Errorf("the reason is %q", inc.Reason)
					}
				}
				if got := strings.Join(parts, " "); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			})
		}
	}
}
