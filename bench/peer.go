package main

import (
	"fmt"
	"maps"
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
	// took: worker count that takes part -> seconds of each run.
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

// tryMoreWorkers runs the other worker counts and settles which of them take
// part in the rounds to come. Where one worker takes long already, more are not
// tried: the more nodes, the more is lost in handing out the work.
func (p *peer) tryMoreWorkers() error {
	const slow, quick, closeToBest = 5, 1, 1.5
	for _, workers := range workerCounts()[1:] {
		if p.took[1][0] >= slow {
			break
		}
		if _, _, err := p.run(workers); err != nil {
			return err
		}
	}
	for workers, took := range p.took {
		if took[0] > quick && took[0] > closeToBest*p.seconds() {
			delete(p.took, workers)
		}
	}
	return nil
}

// runAgain runs the worker counts that take part.
func (p *peer) runAgain() error {
	for _, workers := range slices.Sorted(maps.Keys(p.took)) {
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
