package karpenter

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/events"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Result is what Karpenter made of a workload.
type Result struct {
	// Took is the time for copying the state, setting up and solving.
	Took time.Duration
	// NewNodes and Placements are the plan, the latter in the order in which
	// Karpenter takes up the pods.
	NewNodes   []cluster.NewNode
	Placements []cluster.Placement
	// Unplaced are the pods without a node.
	Unplaced int
}

// Solve plans with so many workers. Karpenter's limit of a minute for one
// solution is not set.
func (w *World) Solve(workers int) (Result, error) {
	start := time.Now()
	solution, err := w.solve(workers)
	took := time.Since(start)
	if err != nil {
		return Result{}, fmt.Errorf("solve with Karpenter: %w", err)
	}
	r := w.translate(solution)
	r.Took = took
	return r, nil
}

func (w *World) solve(workers int) (scheduling.Results, error) {
	opts := []scheduling.Options{scheduling.NumConcurrentReconciles(workers)}
	nodes := w.cluster.DeepCopyNodes()
	topology, err := scheduling.NewTopology(w.ctx, w.client, w.cluster, nodes, w.pools, w.types, w.pending, opts...)
	if err != nil {
		return scheduling.Results{}, err
	}
	recorder := events.NewRecorder(&record.FakeRecorder{})
	s := scheduling.NewScheduler(w.ctx, w.client, w.pools, w.cluster, nodes, topology, w.types,
		nil, recorder, w.clock, nil, nil, opts...)
	return s.Solve(w.ctx, w.pending)
}

// translate puts the solution into the terms of a plan. Karpenter places copies
// of the pods; its queue has left the originals in the order of placing.
func (w *World) translate(solution scheduling.Results) Result {
	r := Result{Unplaced: len(solution.PodErrors)}
	home := make(map[types.UID]string, len(w.pending))
	for i, claim := range solution.NewNodeClaims {
		node := cluster.NewNode{Name: fmt.Sprintf("karpenter-%05d", i), Group: claim.NodePoolName, Zone: w.zones[claim.NodePoolName]}
		r.NewNodes = append(r.NewNodes, node)
		settle(home, claim.Pods, node.Name)
	}
	for _, node := range solution.ExistingNodes {
		settle(home, node.Pods, node.Name())
	}
	for _, pod := range w.pending {
		if node, ok := home[pod.UID]; ok {
			r.Placements = append(r.Placements, cluster.Placement{Pod: pod, Node: node})
		}
	}
	return r
}

func settle(home map[types.UID]string, pods []*corev1.Pod, node string) {
	for _, pod := range pods {
		home[pod.UID] = node
	}
}
