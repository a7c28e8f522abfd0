package main

import (
	"testing"
	"time"

	"github.com/joinery/joinery/bench/workload"
)

// The real scheduler places all pods of a small workload after a few rounds, on no
// fewer nodes than were planned and no fewer than resources allow.
func TestSchedulerPlacesWhatWasPlanned(t *testing.T) {
	for name, asScheduled := range map[string]bool{"packed": false, "as scheduled": true} {
		t.Run(name, func(t *testing.T) {
			in := workload.Spec{Mix: workload.Plain, Pods: 60, Groups: 3, Seed: 1}.Input()
			tr := trial{in: in, asScheduled: asScheduled, calm: 200 * time.Millisecond}
			o, err := tr.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			bound := 0
			for _, p := range tr.in.Pods {
				if p.Spec.NodeName != "" {
					bound++
				}
			}
			if bound != 60 || o.pods != 60 {
				t.Errorf("%d of %d pods have a node", bound, o.pods)
			}
			if o.rounds > 4 || o.nodes < o.planned || o.planned < workload.NewNodesBound(in) || len(tr.in.Nodes) != o.nodes {
				t.Errorf("%+v with %d nodes, at least %d by resources", o, len(tr.in.Nodes), workload.NewNodesBound(in))
			}
		})
	}
}
