package expectation

import (
	"fmt"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Kind is what became of a promise.
type Kind string

// The kinds, see the package's comment.
const (
	True  Kind = "true"
	Late  Kind = "late"
	Short Kind = "short"
	Never Kind = "never"
)

// Kinds are all of them.
var Kinds = []Kind{True, Late, Short, Never}

// Outcome is a promise that was judged.
type Outcome struct {
	Kind            Kind
	Group, Instance string
	// Zone is the one that the node was expected in.
	Zone string
	// Type of the instances; empty for a mixed group.
	Type string
	// At is when it was asked for.
	At time.Time
	// Cause says what failed; empty for true and late.
	Cause string
	// Missed says that the instance came in another zone.
	Missed bool
}

// taken is how long desired capacity may be met without an instance for a promise.
const taken = time.Minute

// noticed is how long a node must have been ready for the scheduler to have tried the
// pods on it.
const noticed = 10 * time.Second

// judgement is one look at a snapshot.
type judgement struct {
	l       *Ledger
	s       *cluster.Snapshot
	now     time.Time
	members map[string]*cluster.Instance
	nodes   map[string]*cluster.NodeState // by instance
	waiting map[types.UID]bool            // pods without a node
	out     []Outcome
}

// Judge looks at what has come of the promises and of the capacity that groups owe,
// and returns what was settled since the last look.
// changed says that Apply would now set something else in the groups.
func (l *Ledger) Judge(s *cluster.Snapshot) (out []Outcome, changed bool) {
	l.changed = false
	j := &judgement{l: l, s: s, now: s.Now(), members: map[string]*cluster.Instance{}, nodes: map[string]*cluster.NodeState{}}
	j.look()
	j.match()
	j.health()
	for i := range s.Groups() {
		j.launchFailure(&s.Groups()[i])
	}
	if len(l.open)+len(l.pods) > 0 {
		j.wait()
	}
	for _, p := range l.open {
		j.promise(p)
	}
	j.removed()
	for i := range s.Groups() {
		j.owed(&s.Groups()[i])
	}
	l.forget(j.now, func(group string) bool { return s.Group(group) != nil })
	return j.out, l.changed
}

func (j *judgement) look() {
	for i := range j.s.Groups() {
		g := &j.s.Groups()[i]
		for k := range g.Instances {
			j.members[g.Instances[k].ID] = &g.Instances[k]
		}
	}
	for _, st := range j.s.Nodes() {
		if st.Instance != nil && (st.Kind == cluster.Joined || st.Kind == cluster.Starting) {
			j.nodes[st.Instance.ID] = st
		}
	}
}

// wait lists the pods that have no node.
func (j *judgement) wait() {
	j.waiting = map[types.UID]bool{}
	for _, p := range j.s.Incoming() {
		j.waiting[p.UID] = true
	}
	maps.DeleteFunc(j.l.pods, func(uid types.UID, _ *account) bool { return !j.waiting[uid] })
}

// match gives new instances to the promises that they came for: of each group's the
// oldest, one that expects the zone first.
func (j *judgement) match() {
	known := make(map[string]bool, len(j.members))
	for i := range j.s.Groups() {
		g := &j.s.Groups()[i]
		for k := range g.Instances {
			in := &g.Instances[k]
			if in.Leaving() || in.OutOfService() {
				continue
			}
			known[in.ID] = true
			if j.isNew(g, in.ID) {
				j.came(g, in)
			}
			j.meet(in)
		}
	}
	for id := range j.l.met {
		if !known[id] {
			delete(j.l.met, id)
		}
	}
	j.l.known = known
}

// isNew reports whether the instance came since the last look. To a new leader these are
// new:
//   - an instance without a node, unless the leader before has met it;
//   - one whose node joined after something was asked for that no instance is known for.
func (j *judgement) isNew(g *cluster.Group, id string) bool {
	if j.l.known != nil {
		return !j.l.known[id]
	}
	if _, met := j.l.met[id]; met {
		return false
	}
	st := j.nodes[id]
	if st == nil {
		return true
	}
	joined, waited := st.Node().CreationTimestamp.Time, false
	for _, p := range j.l.open {
		if p.Instance == id {
			return false
		}
		waited = waited || p.Group == g.Name && p.Instance == "" && joined.After(p.At)
	}
	return waited
}

// meet keeps the time from which an instance without a usable node is waited for.
func (j *judgement) meet(in *cluster.Instance) {
	if st := j.nodes[in.ID]; st != nil && usable(st) {
		delete(j.l.met, in.ID)
		return
	}
	if _, ok := j.l.met[in.ID]; !ok {
		at := in.LaunchedAt
		if at.IsZero() {
			at = j.now
		}
		j.l.met[in.ID] = at
	}
}

func (j *judgement) came(g *cluster.Group, in *cluster.Instance) {
	var first *promise
	for _, p := range j.l.open {
		if p.Group != g.Name || p.Instance != "" || p.At.IsZero() {
			continue
		}
		if p.Zone == "" || p.Zone == in.Zone {
			first = p
			break
		}
		if first == nil {
			first = p
		}
	}
	// An instance in a zone proves that the zone has capacity.
	j.l.heal(Place{Group: g.Name, Zone: in.Zone, Type: g.InstanceType})
	if first == nil {
		return
	}
	first.Instance, first.Since = in.ID, j.now
	if first.Zone != "" && first.Zone != in.Zone && !first.GivenUp {
		j.missed(first, in)
	}
}

// missed judges a promise whose instance came in another zone. What its pods can use
// of it the next plan sees; they wait for nothing else.
func (j *judgement) missed(p *promise, in *cluster.Instance) {
	cause := fmt.Sprintf("Auto Scaling launched %s in %s and not in %s", in.ID, in.Zone, p.Zone)
	if p.Sure {
		j.l.fail(Place{Group: p.Group, Zone: p.Zone, Type: p.Type}, j.now, cause)
	}
	j.l.vain(p, p.Pods, j.now, cause)
	j.settle(p, Short, cause)
	j.out[len(j.out)-1].Missed = true
}

// settle tells what became of a promise, and lets its pods go.
func (j *judgement) settle(p *promise, kind Kind, cause string) {
	j.l.release(p)
	p.Judged = true
	j.out = append(j.out, Outcome{Kind: kind, Group: p.Group, Instance: p.Instance, Zone: p.Zone, Type: p.Type, At: p.At, Cause: cause})
}

// launchFailure accounts for a launch that Auto Scaling says has failed.
func (j *judgement) launchFailure(g *cluster.Group) {
	at := g.LaunchFailure.At
	if at.IsZero() || !at.After(j.l.failed[g.Name]) {
		return
	}
	j.l.failed[g.Name] = at
	if g.LaunchFailure.Instance != "" {
		j.l.failNode(groupPlace(g), at, g.LaunchFailure.Cause)
		return
	}
	j.l.fail(groupPlace(g), at, g.LaunchFailure.Cause)
	for _, p := range j.l.open {
		if p.Group == g.Name && p.Instance == "" && !p.GivenUp {
			j.giveUp(p, g.LaunchFailure.Cause)
		}
	}
}

// giveUp judges a promise never. It stays open while its instance may still come.
func (j *judgement) giveUp(p *promise, cause string) {
	j.settle(p, Never, cause)
	p.GivenUp = true
}
