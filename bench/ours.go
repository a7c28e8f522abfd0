package main

import (
	"fmt"

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

// decide is the part of ours that is timed: from listed objects to decisions.
func (r row) decide(in cluster.Input) (decisions, error) {
	s, err := cluster.New(in)
	if err != nil {
		return decisions{}, fmt.Errorf("plan %s: %w", r, err)
	}
	var d decisions
	d.up = scaleup.Plan(s, in.Now, scaleup.Options{MaxNodesPerPlan: noBound})
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
		return scaledown.Options{MaxParallel: noBound}
	}
	return scaledown.Options{}
}
