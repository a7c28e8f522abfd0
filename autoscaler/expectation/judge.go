package expectation

import (
	"fmt"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
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
	for i := range s.Groups() {
		j.owed(&s.Groups()[i])
	}
	l.forget(j.now)
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
			if j.isNew(in.ID) {
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

// isNew reports whether the instance came since the last look. To a new leader an
// instance is old that has a node or was met by the one before.
func (j *judgement) isNew(id string) bool {
	if j.l.known != nil {
		return !j.l.known[id]
	}
	_, met := j.l.met[id]
	return !met && j.nodes[id] == nil
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
	j.l.fail(groupPlace(g), at, g.LaunchFailure.Cause)
	if g.LaunchFailure.Instance != "" {
		return
	}
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

func (j *judgement) promise(p *promise) {
	if p.At.IsZero() {
		return
	}
	g := j.s.Group(p.Group)
	switch {
	case g == nil:
		j.l.close(p)
	case p.Instance == "":
		j.unlaunched(p, g)
	default:
		j.launched(p, g)
	}
}

// unlaunched judges a promise that no instance has come for.
func (j *judgement) unlaunched(p *promise, g *cluster.Group) {
	age := j.now.Sub(p.At)
	switch {
	case p.GivenUp:
		if g.Missing() <= 0 || age > forgetAfter {
			j.l.close(p)
		}
	case g.Suspends(cluster.ProcessLaunch):
		j.giveUp(p, "the group's process Launch is suspended")
	case g.Missing() <= 0 && age > taken:
		cause := "desired capacity was taken back before an instance came"
		j.l.fail(groupPlace(g), j.now, cause)
		j.giveUp(p, cause)
		j.l.close(p)
	case age > j.l.o.Timeout:
		cause := fmt.Sprintf("Auto Scaling launched nothing within %s", j.l.o.Timeout)
		j.l.fail(groupPlace(g), j.now, cause)
		j.giveUp(p, cause)
	}
}

// launched judges a promise that an instance has come for.
func (j *judgement) launched(p *promise, g *cluster.Group) {
	in, st := j.members[p.Instance], j.nodes[p.Instance]
	gone := in == nil || in.Leaving()
	switch {
	case gone:
		j.ended(p, g)
	case st != nil && usable(st):
		j.ready(p, g, st)
	case p.GivenUp || j.now.Sub(p.Since) <= j.l.o.Timeout:
	case p.Judged:
		j.l.close(p)
	case !p.Ready.IsZero():
		// It was ready once, so it is no launch that failed.
		cause := "node of " + p.Instance + " was ready and is not any more"
		j.l.vain(p, j.still(p), j.now, cause)
		j.settle(p, Short, cause)
		j.l.close(p)
	default:
		cause := notReady(in, st, j.l.o.Timeout)
		j.l.fail(groupPlace(g), j.now, cause)
		j.l.vain(p, j.still(p), j.now, cause)
		j.giveUp(p, cause)
	}
}

// ended judges a promise whose instance is going or gone.
func (j *judgement) ended(p *promise, g *cluster.Group) {
	waiting := j.still(p)
	switch {
	case p.Judged:
	case !p.Ready.IsZero() && len(waiting) == 0:
		j.settle(p, True, "")
	case !p.Ready.IsZero():
		cause := "node of " + p.Instance + " went before the pod could use it"
		if p.Empty != "" {
			cause += ": " + p.Empty
			j.l.refuse(p, waiting, j.now, cause)
		}
		j.l.vain(p, waiting, j.now, cause)
		j.settle(p, Short, cause)
	default:
		cause := p.Instance + " ended before it was a Ready node"
		if f := g.LaunchFailure; f.Instance == p.Instance {
			cause = f.Cause
		}
		j.l.fail(groupPlace(g), j.now, cause)
		j.l.vain(p, waiting, j.now, cause)
		j.settle(p, Never, cause)
	}
	j.l.close(p)
}

// ready judges a promise whose node is there.
func (j *judgement) ready(p *promise, g *cluster.Group, st *cluster.NodeState) {
	if p.Ready.IsZero() {
		p.Ready = j.now
		// The group makes nodes: whatever it was paused for is over.
		j.l.heal(groupPlace(g))
	}
	waiting := j.still(p)
	helped := len(p.Pods) > len(waiting)
	if helped {
		j.forgive(p)
	}
	if p.GivenUp {
		p.GivenUp = false
		j.settle(p, Late, "")
	}
	settled := j.now.Sub(p.Ready) > j.l.o.Settle
	switch {
	case len(waiting) == 0 || helped:
		j.settleOnce(p, True, "")
	case !st.Empty() && !p.Judged:
		// Other pods took the room. Once is no failure; again and again is.
		j.l.vain(p, waiting, j.now, fmt.Sprintf("node %s was filled by other pods", st.Name()))
		j.settle(p, True, "")
	case !settled:
		if st.Empty() && j.now.Sub(p.Ready) > noticed {
			p.Empty = shortfall(g.Template, st)
		}
		return
	case !p.Judged:
		cause := fmt.Sprintf("node %s of group %s is ready and empty, and the scheduler does not use it: %s", st.Name(), p.Group, shortfall(g.Template, st))
		j.l.vain(p, waiting, j.now, cause)
		j.l.refuse(p, waiting, j.now, cause)
		j.settle(p, Short, cause)
	}
	j.l.close(p)
}

func (j *judgement) settleOnce(p *promise, kind Kind, cause string) {
	if !p.Judged {
		j.settle(p, kind, cause)
	}
}

// still are the promise's pods that have no node yet.
func (j *judgement) still(p *promise) []Pod {
	var out []Pod
	for _, pod := range p.Pods {
		if j.waiting[pod.UID] {
			out = append(out, pod)
		}
	}
	return out
}

// forgive ends the accounts of the pods that have a node now, and of their subjects.
func (j *judgement) forgive(p *promise) {
	for _, pod := range p.Pods {
		if !j.waiting[pod.UID] {
			delete(j.l.pods, pod.UID)
			delete(j.l.subjects, pod.Subject)
		}
	}
}

// owed pauses a group that has owed the same capacity for too long. It stays paused
// until AWS has made up: what it was asked for comes first when it launches again.
func (j *judgement) owed(g *cluster.Group) {
	missing := g.Missing()
	if missing <= 0 {
		delete(j.l.owing, g.Name)
		return
	}
	o, ok := j.l.owing[g.Name]
	if !ok || missing < o.Missing {
		o.Since = j.now
	}
	o.Missing = missing
	j.l.owing[g.Name] = o
	if age := j.now.Sub(o.Since); age > j.l.o.Timeout {
		j.l.fail(groupPlace(g), j.now, fmt.Sprintf("Auto Scaling has owed %d instance(s) since %s", missing, o.Since.UTC().Format(time.RFC3339)))
	}
}

func groupPlace(g *cluster.Group) Place {
	return Place{Group: g.Name, Version: g.LaunchTemplateVersion}
}

// usable reports whether the node is there for pods.
func usable(st *cluster.NodeState) bool { return st.Kind == cluster.Joined && st.Unusable == "" }

// notReady says what an instance lacks whose time is over.
func notReady(in *cluster.Instance, st *cluster.NodeState, timeout time.Duration) string {
	switch {
	case st == nil && in.LifecycleState.Pending():
		return fmt.Sprintf("instance %s was not let into service within %s (%s: a launch hook holds it)", in.ID, timeout, in.LifecycleState)
	case st == nil:
		return fmt.Sprintf("instance %s did not become a node within %s", in.ID, timeout)
	}
	text := fmt.Sprintf("node %s was not Ready within %s", st.Name(), timeout)
	if c := kube.Condition(st.Node(), "Ready"); c != nil && c.Message != "" {
		return text + ": " + c.Message
	}
	return text
}
