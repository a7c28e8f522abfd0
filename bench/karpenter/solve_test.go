package karpenter

import (
	"testing"

	"github.com/joinery/joinery/bench/workload"
)

func TestSolvePlacesEveryPod(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec workload.Spec
		want int
	}{
		{"new nodes only", workload.Spec{Mix: workload.PlainOne, Pods: 30, Groups: 3}, 2},
		{"full nodes stay full", workload.Spec{Mix: workload.PlainOne, Pods: 30, Nodes: 6, Groups: 3}, 2},
		{"half-empty nodes come first", workload.Spec{Mix: workload.PlainOne, Pods: 14, Nodes: 2, Groups: 1, Load: 0.5}, 0},
		{"one node for each pod", workload.Spec{Mix: workload.AntiAffinity, Pods: 25, Groups: 3}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, err := Prepare(tt.spec.Input())
			if err != nil {
				t.Fatal(err)
			}
			r, err := w.Solve(1)
			if err != nil {
				t.Fatal(err)
			}
			if r.Unplaced != 0 || len(r.Placements) != tt.spec.Pods || len(r.NewNodes) < tt.want {
				t.Errorf("placed %d of %d pods on %d new nodes, want all on at least %d",
					len(r.Placements), tt.spec.Pods, len(r.NewNodes), tt.want)
			}
			if tt.want == 0 && len(r.NewNodes) != 0 {
				t.Errorf("asked for %d new nodes, want none", len(r.NewNodes))
			}
		})
	}
}
