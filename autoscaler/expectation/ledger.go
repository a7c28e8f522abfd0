package expectation

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Options steer a Ledger. The zero value is ready to use.
type Options struct {
	// Timeout is how long an instance may take from being asked for to a Ready node;
	// 15 min by default.
	Timeout time.Duration
	// Settle is how long a node that is Ready and empty may stay so while the pods that
	// it was bought for wait; 1 min by default. The scheduler retries them at once.
	Settle time.Duration
}

// Ledger is the account. It is not safe for concurrent use.
type Ledger struct {
	o        Options
	open     []*promise
	places   map[Place]*pause
	subjects map[Subject]*account
	pods     map[types.UID]*account
	// removals can be undone still; undone: subject -> removals that were.
	removals []Removal
	undone   map[Subject]*undone
	// met: instance id -> when it was first seen without a usable node.
	met map[string]time.Time
	// known are the instances that were members when last looked at; nil before.
	known map[string]bool
	// owing: group -> since when AWS has owed it the same capacity.
	owing map[string]owing
	// failed: group -> the last launch failure that was accounted for.
	failed map[string]time.Time
	// unhealthy: group -> why it is too unhealthy to grow.
	unhealthy map[string]string
	// changed says that Apply would set other things than before the last Judge.
	changed bool
	// held: pod -> the promise that it waits for.
	held map[types.UID]*promise
}

// owing is capacity that a group was asked for and has not launched.
type owing struct {
	Since   time.Time `json:"since"`
	Missing int       `json:"missing"`
}

// New returns an empty Ledger.
func New(o Options) *Ledger {
	o.Timeout, o.Settle = cmp.Or(o.Timeout, 15*time.Minute), cmp.Or(o.Settle, time.Minute)
	return &Ledger{
		o: o, places: map[Place]*pause{}, subjects: map[Subject]*account{}, pods: map[types.UID]*account{},
		undone: map[Subject]*undone{},
		met:    map[string]time.Time{}, owing: map[string]owing{}, failed: map[string]time.Time{}, held: map[types.UID]*promise{},
	}
}

// Record accounts for a launch that AWS accepted.
func (l *Ledger) Record(launch Launch) {
	l.undo(&launch)
	for _, n := range launch.Nodes {
		p := &promise{
			Group: launch.Group, Version: launch.Version, Type: launch.Type,
			Zone: n.Zone, Sure: n.Sure, At: launch.At, Pods: n.Pods,
		}
		l.open = append(l.open, p)
		l.hold(p)
	}
}

func (l *Ledger) hold(p *promise) {
	for _, pod := range p.Pods {
		l.held[pod.UID] = p
	}
}

// release lets the pods of a promise buy again, as far as nothing else is against it.
func (l *Ledger) release(p *promise) {
	for _, pod := range p.Pods {
		if l.held[pod.UID] == p {
			delete(l.held, pod.UID)
		}
	}
}

// Idle reports whether the account says nothing about any pod.
func (l *Ledger) Idle() bool { return len(l.held)+len(l.subjects)+len(l.pods) == 0 }

// Held says why no node may be bought for the pod at now; empty when one may. coming
// says that one was bought and is not judged yet.
func (l *Ledger) Held(uid types.UID, subject Subject, now time.Time) (reason string, coming bool) {
	if p := l.held[uid]; p != nil {
		return p.waiting(), true
	}
	for _, a := range []*account{l.pods[uid], l.subjects[subject]} {
		if a == nil {
			continue
		}
		if why := a.pausing(now); why != "" {
			return why, false
		}
	}
	return "", false
}

// Refusals returns why pods of the subject may not be bought a node of a group at now:
// group -> reason.
func (l *Ledger) Refusals(subject Subject, version func(group string) string, now time.Time) map[string]string {
	a := l.subjects[subject]
	if a == nil {
		return nil
	}
	out := map[string]string{}
	for group, r := range a.Refused {
		if now.Before(r.Until) && r.Version == version(group) {
			out[group] = r.reason()
		}
	}
	return out
}

// fail pauses a place.
func (l *Ledger) fail(at Place, when time.Time, cause string) {
	p := l.places[at]
	if p == nil {
		p = &pause{}
		l.places[at] = p
	}
	l.changed = p.fail(when, cause) || l.changed
}

// failNode is fail for an instance that came and did not become a node.
func (l *Ledger) failNode(at Place, when time.Time, cause string) {
	l.fail(at, when, cause)
	if p := l.places[at]; !p.Came {
		p.Came, l.changed = true, true
	}
}

// heal ends the failures of a place.
func (l *Ledger) heal(at Place) {
	if l.places[at] != nil {
		delete(l.places, at)
		l.changed = true
	}
}

// Because adds what AWS says of a zone that was missed to the outcome that Judge has
// just returned: the zone failed, whichever was to come next.
func (l *Ledger) Because(o Outcome, said string, now time.Time) {
	cause := o.Cause + ": " + said
	at := Place{Group: o.Group, Zone: o.Zone, Type: o.Type}
	l.fail(at, now, cause)
	l.places[at].Cause, l.changed = cause, true
	for _, a := range l.subjects {
		a.because(o.Cause, cause)
	}
	for _, a := range l.pods {
		a.because(o.Cause, cause)
	}
}

// vain accounts for a promise whose instance was of no use to its pods.
func (l *Ledger) vain(p *promise, pods []Pod, now time.Time, cause string) {
	for _, pod := range pods {
		accountOf(l.pods, pod.UID).inVain(p.At, now, cause, 3)
		accountOf(l.subjects, pod.Subject).inVain(p.At, now, cause, 2)
	}
}

// refuse keeps the pods' subjects from the promise's group.
func (l *Ledger) refuse(p *promise, pods []Pod, now time.Time, cause string) {
	for _, pod := range pods {
		accountOf(l.subjects, pod.Subject).refuse(p.Group, p.Version, now, cause)
	}
}

func accountOf[K comparable](all map[K]*account, key K) *account {
	a := all[key]
	if a == nil {
		a = &account{}
		all[key] = a
	}
	return a
}

// forget drops what nothing follows from any more. A group that is not there for a
// while can be an old answer of AWS: what is known of it is kept for a day.
func (l *Ledger) forget(now time.Time, there func(group string) bool) {
	maps.DeleteFunc(l.owing, func(g string, o owing) bool { return !there(g) && now.Sub(o.Since) > forgetAfter })
	maps.DeleteFunc(l.failed, func(g string, at time.Time) bool { return !there(g) && now.Sub(at) > forgetAfter })
	l.open = slices.DeleteFunc(l.open, func(p *promise) bool { return p.At.IsZero() })
	maps.DeleteFunc(l.places, func(_ Place, p *pause) bool { return !now.Before(p.Until) && now.Sub(p.Failed) > pauseReset })
	maps.DeleteFunc(l.subjects, func(_ Subject, a *account) bool { return now.Sub(a.Failed) > forgetAfter })
	maps.DeleteFunc(l.undone, func(_ Subject, u *undone) bool { return now.Sub(u.At) > forgetAfter })
	maps.DeleteFunc(l.pods, func(_ types.UID, a *account) bool { return now.Sub(a.Failed) > forgetAfter })
}

// close ends a promise.
func (l *Ledger) close(p *promise) {
	l.release(p)
	p.At = time.Time{}
}
