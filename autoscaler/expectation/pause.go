package expectation

import (
	"fmt"
	"time"
)

// The pauses of a place after failures, as those of Cluster Autoscaler's node groups
// (--initial-node-group-backoff-duration, --max-node-group-backoff-duration and
// --node-group-backoff-reset-timeout).
const (
	pauseFirst = 5 * time.Minute
	pauseMost  = 30 * time.Minute
	pauseReset = 3 * time.Hour
)

// Place is where a node can be bought: a group, of one launch template version, or one
// zone of it, of one instance type. What changes the version or the type makes it
// another place, with no failures yet.
type Place struct {
	Group   string `json:"group"`
	Zone    string `json:"zone,omitempty"`
	Type    string `json:"type,omitempty"`
	Version string `json:"version,omitempty"`
}

// pause keeps a place from growing.
type pause struct {
	Step   time.Duration `json:"step"`
	Failed time.Time     `json:"failed"`
	Until  time.Time     `json:"until"`
	Cause  string        `json:"cause"`
	// Came says that instances came and did not become nodes.
	Came bool `json:"came,omitempty"`
}

// fail doubles the pause, unless the last failure was long ago. What fails while the
// place pauses was bought before: it is the same failure.
func (p *pause) fail(at time.Time, cause string) (changed bool) {
	switch {
	case at.Before(p.Until):
		return false
	case p.Step == 0 || at.Sub(p.Failed) > pauseReset:
		p.Step = pauseFirst
	default:
		p.Step = min(2*p.Step, pauseMost)
	}
	p.Failed, p.Until, p.Cause, p.Came = at, at.Add(p.Step), cause, false
	return true
}

// The pauses of pods that are alike. Those at a group where a node came and did not
// help are for nodes that would be the same again.
var (
	refusals = []time.Duration{30 * time.Minute, 2 * time.Hour, 6 * time.Hour}
	// vainPauses follow the second purchase in vain and those after it, wherever.
	vainPauses = []time.Duration{10 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour}
)

// forgetAfter is how long an account is kept after its last failure.
const forgetAfter = 24 * time.Hour

// account is what was bought in vain for one subject, or for one pod.
type account struct {
	// Vain counts the launches, Last is the newest of them.
	Vain int       `json:"vain"`
	Last time.Time `json:"last"`
	// Failed is when it was judged, Until when the account pauses until.
	Failed time.Time `json:"failed"`
	Until  time.Time `json:"until,omitzero"`
	Cause  string    `json:"cause,omitempty"`
	// Refused: group -> what came short there.
	Refused map[string]refusal `json:"refused,omitempty"`
}

type refusal struct {
	Version string    `json:"version,omitempty"`
	Times   int       `json:"times"`
	Until   time.Time `json:"until"`
	Cause   string    `json:"cause"`
}

// inVain counts a launch, once, and pauses the account from the given number on.
func (a *account) inVain(launch, now time.Time, cause string, from int) {
	if a.Vain > 0 && !launch.After(a.Last) {
		return
	}
	a.Vain++
	a.Last, a.Failed, a.Cause = launch, now, cause
	if n := a.Vain - from; n >= 0 {
		a.Until = now.Add(vainPauses[min(n, len(vainPauses)-1)])
	}
}

func (a *account) because(was, is string) {
	if a.Cause == was {
		a.Cause = is
	}
}

// refuse keeps the account from the group for a while.
func (a *account) refuse(group, version string, now time.Time, cause string) {
	r := a.Refused[group]
	if now.Before(r.Until) && r.Version == version {
		return
	}
	if r.Version != version {
		r.Times = 0
	}
	r.Version, r.Cause, r.Until = version, cause, now.Add(refusals[min(r.Times, len(refusals)-1)])
	r.Times++
	if a.Refused == nil {
		a.Refused = map[string]refusal{}
	}
	a.Refused[group] = r
}

// pausing says why the account buys nothing at all at now; empty when it may.
func (a *account) pausing(now time.Time) string {
	if !now.Before(a.Until) {
		return ""
	}
	return fmt.Sprintf("%d nodes were bought for it in vain, no other before %s: %s", a.Vain, a.Until.UTC().Format(time.RFC3339), a.Cause)
}

func (r refusal) reason() string {
	return fmt.Sprintf("a node like it was bought and did not help (no other before %s): %s", r.Until.UTC().Format(time.RFC3339), r.Cause)
}
