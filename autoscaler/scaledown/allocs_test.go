//go:build !race

// The race detector allocates for itself; "make test" runs these without it.

package scaledown_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown"
)

// fleet is n nodes in three groups with thirty pods each, which request so much
// cpu (of 7900m).
func fleet(n int, cpu string) cluster.Input {
	in := cluster.Input{Now: now}
	for i := range 3 {
		in.Groups = append(in.Groups, ct.Group(fmt.Sprintf("g%d", i), 0, 0, n, "7900m", "16374Mi", "us-west-2"+string(rune('a'+i))))
	}
	for i := range n {
		g := &in.Groups[i%3]
		node := ct.Join(g, fmt.Sprintf("i-%05d", i), g.Zones[0])
		unneeded(node, time.Hour)
		g.Desired++
		in.Nodes = append(in.Nodes, node)
		for j := range 30 {
			app := fmt.Sprint("app-", (i+j)%100)
			in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("run-%05d-%02d", i, j), node.Name, cpu, "200Mi",
				ct.Labels(map[string]string{"app": app}), ct.OwnedBy("ReplicaSet", app)))
		}
	}
	return ct.Honest(in)
}

func planFleet(tb testing.TB, in cluster.Input, o scaledown.Options) (*cluster.Snapshot, scaledown.Decision) {
	tb.Helper()
	s, err := cluster.New(in)
	if err != nil {
		tb.Fatal(err)
	}
	return s, scaledown.Plan(s, now, o)
}

// See TestAllocations of scaleup: what a plan allocates grows with the nodes it
// decides on, not with their pods.
func TestAllocations(t *testing.T) {
	for _, tt := range []struct {
		name     string
		cpu      string
		o        scaledown.Options
		removed  int
		most     float64
		unneeded int
	}{
		{name: "used at 38 %", cpu: "100m", o: scaledown.Options{MaxDrains: 10}, removed: 10, unneeded: 300, most: 8500},
		{name: "all at once", cpu: "100m", o: scaledown.Options{MaxParallel: 1000, MaxDrains: 1000}, removed: 300, unneeded: 300, most: 13600},
		{name: "used at 97 %", cpu: "255m", most: 2850},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, d := planFleet(t, fleet(500, tt.cpu), tt.o)
			if len(d.Remove) < tt.removed || len(d.Unneeded) < tt.unneeded {
				t.Fatalf("%d removed and %d unneeded, want %d and %d", len(d.Remove), len(d.Unneeded), tt.removed, tt.unneeded)
			}
			got := testing.AllocsPerRun(3, func() { scaledown.Plan(s, now, tt.o) })
			t.Logf("%.0f allocations, %d unneeded, %d removed", got, len(d.Unneeded), len(d.Remove))
			if got > tt.most {
				t.Errorf("%.0f allocations, at most %.0f are expected", got, tt.most)
			}
		})
	}
}

func BenchmarkPlan(b *testing.B) {
	for name, mix := range map[string]struct {
		cpu string
		o   scaledown.Options
	}{"idle": {"255m", scaledown.Options{}}, "half": {"100m", scaledown.Options{MaxDrains: 10}}, "all": {"100m", scaledown.Options{MaxParallel: 5000, MaxDrains: 5000}}} {
		for _, n := range []int{1000, 5000} {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				in := fleet(n, mix.cpu)
				s, _ := planFleet(b, in, mix.o)
				b.ReportAllocs()
				for b.Loop() {
					scaledown.Plan(s, now, mix.o)
				}
			})
		}
	}
	b.Run("snapshot from nothing/5000", func(b *testing.B) {
		in := fleet(5000, "100m")
		for b.Loop() {
			if _, err := cluster.New(in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("snapshot from the cache/5000", func(b *testing.B) {
		in := fleet(5000, "100m")
		c := cluster.NewCache()
		for _, n := range in.Nodes {
			c.SetNode(n)
		}
		for _, p := range in.Pods {
			c.SetPod(p)
		}
		in.Nodes, in.Pods = nil, []*corev1.Pod(nil)
		for b.Loop() {
			if _, err := c.Snapshot(in); err != nil {
				b.Fatal(err)
			}
		}
	})
}
