// Package progress tells a person what the lab is doing while it builds and
// boots things: which step runs, how long it took, and whether a cache made it
// free.
package progress

import "time"

// State is where a step stands.
type State string

const (
	// Started is sent once, before a step's work begins.
	Started State = "started"
	// Done is sent once, after a step's work has ended, well or badly.
	Done State = "done"
	// Noted is sent once, for a choice that was made. Step is a sentence then.
	Noted State = "noted"
)

// Event is one change of one step.
type Event struct {
	// Step names the work, for example "build kubelet".
	Step  string
	State State
	// Elapsed is the step's duration; zero while State is Started.
	Elapsed time.Duration
	// Cached says that the result was already there.
	Cached bool
	// Err is why the step ended badly; nil otherwise.
	Err error
}

// Func receives events. It may be called from several goroutines at once. The
// nil Func drops everything.
type Func func(Event)

// Step runs do between a Started and a Done event and returns do's error. do
// says whether its result came from a cache.
func (f Func) Step(name string, do func() (cached bool, err error)) error {
	begin := time.Now()
	f.send(Event{Step: name, State: Started})
	cached, err := do()
	f.send(Event{Step: name, State: Done, Elapsed: time.Since(begin), Cached: cached, Err: err})
	return err
}

// Note sends a sentence about a choice that was made.
func (f Func) Note(sentence string) { f.send(Event{Step: sentence, State: Noted}) }

func (f Func) send(e Event) {
	if f != nil {
		f(e)
	}
}
