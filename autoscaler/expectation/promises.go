package expectation

import (
	"fmt"
	"time"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
)

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
		j.l.failNode(groupPlace(g), j.now, cause)
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
		j.l.failNode(groupPlace(g), j.now, cause)
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
		p.GivenUp, p.Late = false, true
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
	case st.Empty() && (!p.Judged || p.Late):
		cause := fmt.Sprintf("node %s of group %s is ready and empty, and the scheduler does not use it: %s", st.Name(), p.Group, shortfall(g.Template, st))
		j.l.vain(p, waiting, j.now, cause)
		j.l.refuse(p, waiting, j.now, cause)
		j.settleOnce(p, Short, cause)
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
	if missing <= 0 || g.Refresh != nil { // a refresh has some missing all the time
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
