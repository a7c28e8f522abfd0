// Package workload generates clusters with pending pods for the planners and
// their peers to plan for. The same Spec gives the same objects, in new memory
// each time; they look like what an API server returns, down to the volume that
// every pod gets for its service account.
package workload

import (
	"math/rand/v2"
	"time"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

// Now is the moment at which every workload is observed.
var Now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// Spec says what to generate.
type Spec struct {
	// Mix makes the pending pods. Nil makes none.
	Mix Mix
	// Pods is how many pods are pending, Nodes how many nodes are there.
	Pods, Nodes int
	// Groups is how many Auto Scaling Groups there are. The shapes take turns,
	// then the zones: with one shape, 12 groups are four for each zone.
	Groups int
	// Shapes are the machines that the groups have, EightCores when empty.
	Shapes []Shape
	// PodsPerNode run on each node that is there; 0 is 30.
	PodsPerNode int
	// Load is the share of a node that its pods request; 0 is all of it.
	Load float64
	// Seed starts the random choices.
	Seed uint64
}

// Input generates the workload.
func (s Spec) Input() cluster.Input {
	s = s.withDefaults()
	in := cluster.Input{Now: Now, Groups: s.groups()}
	in.Nodes = s.join(in.Groups)
	for _, node := range in.Nodes {
		in.Pods = append(in.Pods, s.running(node)...)
	}
	if s.Mix != nil {
		m := &maker{random: rand.New(rand.NewPCG(s.Seed, 42))}
		s.Mix(m, s.Pods)
		in.Pods = append(in.Pods, m.pods...)
	}
	return clustertest.Honest(in)
}

func (s Spec) withDefaults() Spec {
	if len(s.Shapes) == 0 {
		s.Shapes = []Shape{EightCores}
	}
	if s.PodsPerNode == 0 {
		s.PodsPerNode = 30
	}
	if s.Load == 0 {
		s.Load = 1
	}
	return s
}
