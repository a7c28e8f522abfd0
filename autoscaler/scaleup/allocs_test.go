//go:build !race

// The race detector allocates for itself; "make test" runs these without it.

package scaleup_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// workload is n pods of thirty apps beside so many full nodes.
func workload(n, nodes, groups int, term func(app string) func(*corev1.Pod)) cluster.Input {
	r := rand.New(rand.NewPCG(42, 1))
	in := cluster.Input{Now: now}
	for i := range groups {
		zone := "us-west-2" + string(rune('a'+i%3))
		in.Groups = append(in.Groups, ct.Group(fmt.Sprintf("g%03d", i), 0, 0, 10000, "7900m", "16374Mi", zone))
	}
	for i := range nodes {
		g := &in.Groups[i%groups]
		node := ct.Join(g, fmt.Sprintf("i-%05d", i), g.Zones[0])
		g.Desired++
		in.Nodes = append(in.Nodes, node)
		for j := range 30 {
			in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("run-%05d-%02d", i, j), node.Name, "260m", "500Mi", ct.Labels(map[string]string{"app": fmt.Sprint("old-", j)})))
		}
	}
	cpus, mems := []string{"100m", "250m", "500m", "1", "1500m"}, []string{"128Mi", "256Mi", "512Mi", "1Gi", "2Gi", "4Gi"}
	for i := range n {
		k := r.IntN(30)
		app := fmt.Sprintf("app-%d", k)
		opts := []func(*corev1.Pod){ct.OwnedBy("ReplicaSet", app), ct.Labels(map[string]string{"app": app})}
		if term != nil {
			opts = append(opts, term(app))
		}
		in.Pods = append(in.Pods, ct.Pending(fmt.Sprintf("p-%06d", i), cpus[k%5], mems[k%6], opts...))
	}
	return in
}

func zoneSpread(app string) func(*corev1.Pod)   { return ct.Spread(corev1.LabelTopologyZone, app) }
func hostSpread(app string) func(*corev1.Pod)   { return ct.Spread(corev1.LabelHostname, app) }
func zoneAffinity(app string) func(*corev1.Pod) { return ct.Affinity(corev1.LabelTopologyZone, app) }
func apart(app string) func(*corev1.Pod)        { return ct.AntiAffinity(corev1.LabelHostname, app) }

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
			s, err := cluster.New(in)
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
			s, err := cluster.New(workload(5000, 0, 3, mix.term))
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
