// Package plan decides by a seed which fault is done when, and for how long. The same
// seed, length and lanes give the same plan.
package plan

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// Lane is a sequence of faults of which one is done at a time.
type Lane struct {
	Name string
	// Kinds are all faults of the lane. Each comes once before one comes again.
	Kinds []string
	// Least and Most bound how much time a fault has with its recovery. Within them
	// all kinds come in the plan's length if that is possible.
	Least, Most time.Duration
	// Share is how much of that a fault lasts at most; half of it at least. The rest is
	// for the recovery.
	Share float64
}

// Step is one fault of a plan.
type Step struct {
	Lane, Kind string
	// Begin is when it is done, from the plan's begin, and Hold how long it lasts.
	Begin, Hold time.Duration
	// End is when the lane's next fault may begin.
	End time.Duration
	// Seed is for what the fault itself decides, such as on whom it is done.
	Seed uint64
}

// Make makes the plan of a length: the steps of all lanes, in the order in which they
// begin. All steps have ended at its end.
func Make(seed uint64, length time.Duration, lanes ...Lane) []Step {
	var all []Step
	for n, lane := range lanes {
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		all = append(all, lane.steps(random, length)...)
	}
	slices.SortStableFunc(all, func(a, b Step) int { return cmp.Compare(a.Begin, b.Begin) })
	return all
}

func (l Lane) steps(random *rand.Rand, length time.Duration) (all []Step) {
	if len(l.Kinds) == 0 {
		return nil
	}
	slot := min(max(length/time.Duration(len(l.Kinds)), l.Least), l.Most)
	var round []string
	for begin := time.Duration(0); begin+slot <= length; begin += slot {
		if len(round) == 0 {
			round = slices.Clone(l.Kinds)
			random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		}
		longest := l.longest(slot)
		hold := longest/2 + time.Duration(random.Int64N(int64(longest/2)))
		all = append(all, Step{Lane: l.Name, Kind: round[0], Begin: begin, Hold: hold, End: begin + slot, Seed: random.Uint64()})
		round = round[1:]
	}
	return all
}

func (l Lane) longest(slot time.Duration) time.Duration {
	return time.Duration(float64(slot) * l.Share)
}

// Missing are the kinds of the lanes that a plan has no time for.
func Missing(steps []Step, lanes ...Lane) (kinds []string) {
	for _, l := range lanes {
		for _, k := range l.Kinds {
			if !slices.ContainsFunc(steps, func(s Step) bool { return s.Lane == l.Name && s.Kind == k }) {
				kinds = append(kinds, k)
			}
		}
	}
	return kinds
}
