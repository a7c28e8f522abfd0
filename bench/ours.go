package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// noBound stands for options that bound a plan's size: a peer has no such bound.
const noBound = 1 << 20

// decisions are what our planners make of a workload.
type decisions struct {
	up   scaleup.Decision
	down scaledown.Decision
}

// standing is a cluster as the autoscaler's cache holds it before anything happens:
// the nodes and the pods that run there, fed by informers. The peer's state of the
// cluster is filled before its clock starts too.
type standing struct {
	cache   *cluster.Cache
	pending []*corev1.Pod
	rest    cluster.Input // without nodes and pods
}

func stand(in cluster.Input) standing {
	st := standing{cache: cluster.NewCache(), rest: in}
	st.rest.Nodes, st.rest.Pods = nil, nil
	for _, n := range in.Nodes {
		st.cache.SetNode(n)
	}
	for _, p := range in.Pods {
		if p.Spec.NodeName == "" {
			st.pending = append(st.pending, p)
			continue
		}
		st.cache.SetPod(p)
	}
	return st
}

// decide is the part of ours that is timed: the pending pods come, are sorted into
// classes, and a round is planned. Where nothing stands yet there is nothing to
// keep in a cache either, and listed objects are where it starts.
func (r row) decide(st standing) (decisions, error) {
	if r.spec.Nodes == 0 {
		in := st.rest
		in.Pods = st.pending
		return r.decideCold(in)
	}
	st.cache.SetPods(st.pending)
	s, err := st.cache.Snapshot(st.rest)
	if err != nil {
		return decisions{}, fmt.Errorf("plan %s: %w", r, err)
	}
	return r.plan(s, st.rest)
}

// decideCold is the same from listed objects, as after a start of the controller.
func (r row) decideCold(in cluster.Input) (decisions, error) {
	s, err := cluster.New(in)
	if err != nil {
		return decisions{}, fmt.Errorf("plan %s: %w", r, err)
	}
	return r.plan(s, in)
}

func (r row) plan(s *cluster.Snapshot, in cluster.Input) (decisions, error) {
	var d decisions
	d.up = scaleup.Plan(s, in.Now, scaleup.Options{MaxNodesPerPlan: noBound, AsScheduled: r.asScheduled})
	if d.up.Err != nil {
		return decisions{}, fmt.Errorf("plan growth for %s: %w", r, d.up.Err)
	}
	if r.down {
		d.down = scaledown.Plan(s, in.Now, r.downOptions())
	}
	if d.down.Err != nil {
		return decisions{}, fmt.Errorf("plan removal for %s: %w", r, d.down.Err)
	}
	return d, nil
}

func (r row) downOptions() scaledown.Options {
	if r.together {
		return scaledown.Options{MaxParallel: noBound, MaxDrains: noBound}
	}
	return scaledown.Options{}
}
