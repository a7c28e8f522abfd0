//go:build !race

// The race detector allocates for itself; "make test" runs these without it.

package scaleup_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// Allocations do not vary with the machine, so they guard the planner's cost: it
// grows with classes and new nodes, hardly with pods and present nodes.
func TestAllocations(t *testing.T) {
	tests := []struct {
		name                string
		pods, nodes, groups int
		term                func(string) func(*corev1.Pod)
		most                float64
	}{
		{"plain", 2000, 0, 3, nil, 1500},
		{"plain, ten times the pods", 20000, 0, 3, nil, 6700},
		{"plain, many groups", 2000, 0, 100, nil, 9200},
		{"plain, existing nodes", 2000, 500, 3, nil, 1700},
		{"zone spread", 2000, 0, 3, zoneSpread, 2300},
		{"host spread", 2000, 0, 3, hostSpread, 3900},
		{"zone affinity", 2000, 0, 3, zoneAffinity, 5900},
		{"host anti-affinity", 2000, 0, 3, apart, 2900},
		{"nothing pending", 0, 500, 3, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := workload(tt.pods, tt.nodes, tt.groups, tt.term)
			s, err := cluster.New(ct.Honest(in))
			if err != nil {
				t.Fatal(err)
			}
			d := scaleup.Plan(s, now, scaleup.Options{MaxNodesPerPlan: 10000})
			if len(d.Unhelped) > 0 {
				t.Fatalf("%d pods are left over", len(d.Unhelped))
			}
			got := testing.AllocsPerRun(3, func() { scaleup.Plan(s, now, scaleup.Options{MaxNodesPerPlan: 10000}) })
			t.Logf("%.0f allocations, %d nodes", got, len(d.NewNodes))
			if got > tt.most {
				t.Errorf("%.0f allocations, at most %.0f are expected", got, tt.most)
			}
		})
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, mix := range []struct {
		name string
		term func(string) func(*corev1.Pod)
	}{{"plain", nil}, {"spread", zoneSpread}, {"hostspread", hostSpread}, {"affinity", zoneAffinity}, {"antiaffinity", apart}} {
		b.Run(mix.name, func(b *testing.B) {
			s, err := cluster.New(ct.Honest(workload(5000, 0, 3, mix.term)))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				scaleup.Plan(s, now, scaleup.Options{MaxNodesPerPlan: 10000})
			}
		})
	}
}
