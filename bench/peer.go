package main

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/bench/karpenter"
)

const peerName = "karpenter"

// peer runs Karpenter on a row. Its best of one worker and one for each
// processor counts.
type peer struct {
	row row
	// took: worker count -> seconds of each run.
	took map[int][]float64
}

func workerCounts() []int { return slices.Compact([]int{1, runtime.NumCPU()}) }

// run plans the row's workload once, with objects of its own.
func (p *peer) run(workers int) (cluster.Input, karpenter.Result, error) {
	in := p.row.spec.Input()
	world, err := karpenter.Prepare(in)
	if err != nil {
		return in, karpenter.Result{}, fmt.Errorf("run %s: %w", p.row, err)
	}
	runtime.GC()
	solved, err := world.Solve(workers)
	if err != nil {
		return in, karpenter.Result{}, fmt.Errorf("run %s: %w", p.row, err)
	}
	if p.took == nil {
		p.took = map[int][]float64{}
	}
	p.took[workers] = append(p.took[workers], solved.Took.Seconds())
	return in, solved, nil
}

// tryMoreWorkers runs the other worker counts, unless the row is so slow that
// one more run costs too much: the more nodes, the more is lost in handing out
// the work, so that a single worker wins there.
func (p *peer) tryMoreWorkers() error {
	const tooSlow = 8
	for _, workers := range workerCounts()[1:] {
		if p.seconds() >= tooSlow {
			return nil
		}
		if _, _, err := p.run(workers); err != nil {
			return err
		}
	}
	return nil
}

// runContenders runs every worker count that may yet prove the best.
func (p *peer) runContenders() error {
	const closeToBest = 1.25
	bar := closeToBest * p.seconds()
	for _, workers := range workerCounts() {
		if len(p.took[workers]) == 0 || median(p.took[workers]) > bar {
			continue
		}
		if _, _, err := p.run(workers); err != nil {
			return err
		}
	}
	return nil
}

// best is the worker count of the least median, 0 when nothing has run.
func (p *peer) best() int {
	best := 0
	for _, workers := range workerCounts() {
		if len(p.took[workers]) > 0 && (best == 0 || median(p.took[workers]) < median(p.took[best])) {
			best = workers
		}
	}
	return best
}

// seconds is the median of the best worker count.
func (p *peer) seconds() float64 { return median(p.took[p.best()]) }
