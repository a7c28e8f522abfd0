package awssim

import (
	"math/rand/v2"
	"os"
	"time"
)

// Weather is how unkind AWS is to its clients without anything being broken.
// The zero value is kind: everything happens at once and is seen at once.
type Weather struct {
	// Lag is the most that passes until AutoScaling acts on a difference between
	// desired and actual capacity.
	Lag time.Duration
	// Stale is how old what a read shows may be: each shows a random moment of that
	// time, and the next one may show an earlier one.
	Stale time.Duration
	// Rates throttles each API as an account's token buckets do.
	Rates bool
	// Repeat is the answer to TerminateInstanceInAutoScalingGroup for an instance
	// that is already ending.
	Repeat Repeat
	// Rebalance is how long a group's zones may differ by more than one member
	// before AutoScaling launches in the emptier and ends in the fuller; 0: for ever.
	Rebalance time.Duration
}

// Repeat is what a request does that was made before.
type Repeat int

// The answers: refused, taken as if it were the first, or either by chance.
const (
	Refused Repeat = iota
	Taken
	Either
)

// HarshVariable is the environment variable that makes every world harsh whose
// program does not say so itself.
const HarshVariable = "JOINERY_HARSH"

// worst is all that real AWS does at its worst.
// EC2's own guide speaks of "a few minutes" that a change may take to be seen
// everywhere and of a couple of seconds as usual; tests in real time bear the
// latter.
// https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
var worst = Weather{
	Lag:       2 * time.Second,
	Stale:     2 * time.Second,
	Rates:     true,
	Repeat:    Either,
	Rebalance: time.Minute,
}

// setWeather gives a harsh world its weather, as far as its maker has left it
// open.
func (w *World) setWeather() {
	w.chance = rand.New(rand.NewPCG(w.Seed, 0x6861727368))
	if w.Harsh = w.Harsh || os.Getenv(HarshVariable) == "1"; !w.Harsh {
		return
	}
	setDefault(&w.Weather.Lag, worst.Lag)
	setDefault(&w.Weather.Stale, worst.Stale)
	setDefault(&w.Weather.Rates, worst.Rates)
	setDefault(&w.Weather.Repeat, worst.Repeat)
	setDefault(&w.Weather.Rebalance, worst.Rebalance)
	setDefault(&w.Timing.Proceed, time.Second)
	setDefault(&w.Timing.Health, 2*time.Second)
}

// someLocked is a random part of a duration, and never nothing of it.
func (w *World) someLocked(most time.Duration) time.Duration {
	return time.Duration(w.chance.Int64N(int64(most))) + 1
}

// takesRepeatLocked says whether a repeated request is taken this time.
func (w *World) takesRepeatLocked() bool {
	return w.Weather.Repeat == Taken || w.Weather.Repeat == Either && w.chance.IntN(2) == 0
}

// lagsLocked reports that the group's difference is for later. A change of
// either direction waits, and what is changed meanwhile is acted on together.
func (w *World) lagsLocked(g *group) bool {
	if w.Weather.Lag <= 0 || g.prompt || g.active() == g.desired && g.warmCount() == g.warmTarget() {
		return false
	}
	if !g.lagging {
		g.lagging = true
		w.afterLocked(w.someLocked(w.Weather.Lag), func() {
			g.lagging = false
			w.promptlyLocked(g, func() { w.reconcileLocked(g) })
		})
	}
	return true
}

// promptlyLocked does something to a group without lag.
func (w *World) promptlyLocked(g *group, do func()) {
	g.prompt = true
	do()
	g.prompt = false
}
