package main

import "github.com/joinery/joinery/bench/workload"

// trial is a row while it runs.
type trial struct {
	row row
	// rounds is how often the row runs; 0 is five times.
	rounds int
	ours   []sample
	peer   peer
	result Result
}

// run measures a row: once to look at the plans, then both sides in turn, with
// fresh objects every time.
func run(r row, rounds int) (Result, error) {
	t := &trial{row: r, rounds: rounds, peer: peer{row: r}}
	t.describe()
	for _, step := range []func() error{t.look, t.firstRound, t.otherRounds} {
		if err := step(); err != nil {
			return Result{}, err
		}
	}
	t.sumUp()
	return t.result, nil
}

func (t *trial) describe() {
	t.result = Result{
		Workload: t.row.name, Kind: "scale-up", CASeconds: t.row.ca,
		Pods: t.row.spec.Pods, Nodes: t.row.spec.Nodes, Groups: t.row.spec.Groups,
	}
	if t.row.down {
		t.result.Kind = "scale-down"
	}
}

// look runs ours from listed objects, to check the plan, to watch the heap, and to
// see what a round costs after a start.
func (t *trial) look() error {
	in := t.row.spec.Input()
	var d decisions
	var err error
	t.result.OurPeakBytes = peakHeap(func() { d, err = t.row.decideCold(in) })
	if err != nil {
		return err
	}
	t.result.OurColdSeconds = measured(func() { _, err = t.row.decideCold(in) }).seconds
	if err != nil {
		return err
	}
	o := d.outcome()
	t.result.OurCost, t.result.OurUnplaced = cost(in, o.newNodes), o.unplaced
	if t.row.down {
		t.result.OurNodes, t.result.LowerBoundNodes = len(in.Nodes)-len(o.removed), workload.KeptNodesBound(in)
	} else {
		t.result.OurNodes, t.result.LowerBoundNodes = len(o.newNodes), workload.NewNodesBound(in)
	}
	t.result.Problem, err = check(in, o)
	t.result.Valid = t.result.Problem == ""
	return err
}

// firstRound also looks at the peer's plan and tries its worker counts.
func (t *trial) firstRound() error {
	if err := t.runOurs(); err != nil || !t.row.peer {
		return err
	}
	in, solved, err := t.peer.run(1)
	if err != nil {
		return err
	}
	o := outcome{newNodes: solved.NewNodes, placements: solved.Placements, unplaced: solved.Unplaced}
	problem, err := check(in, o)
	if err != nil {
		return err
	}
	t.result.Peer, t.result.PeerValid = peerName, problem == ""
	t.result.PeerNodes, t.result.PeerCost, t.result.PeerUnplaced = len(o.newNodes), cost(in, o.newNodes), o.unplaced
	if problem != "" && t.result.Valid {
		t.result.Problem = problem
	}
	return t.peer.tryMoreWorkers()
}

func (t *trial) otherRounds() error {
	for range t.roundsInAll() - 1 {
		if err := t.runOurs(); err != nil {
			return err
		}
		if err := t.peer.runAgain(); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) runOurs() error {
	st := stand(t.row.spec.Input())
	var err error
	t.ours = append(t.ours, measured(func() { _, err = t.row.decide(st) }))
	return err
}

// roundsInAll is how often both sides run.
func (t *trial) roundsInAll() int {
	if t.rounds > 0 {
		return t.rounds
	}
	return 5
}

func (t *trial) sumUp() {
	r := &t.result
	r.OurSeconds = median(seconds(t.ours))
	r.OurAllocs = t.ours[len(t.ours)-1].allocs
	r.Runs = len(t.ours)
	r.CARatio = r.CASeconds / r.OurSeconds
	if t.row.peer {
		r.PeerWorkers, r.PeerSeconds = t.peer.best(), t.peer.seconds()
		r.Runs = len(t.peer.took[r.PeerWorkers])
		r.Ratio = r.PeerSeconds / r.OurSeconds
	}
}
