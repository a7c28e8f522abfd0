package csr

import (
	"fmt"
	"slices"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/quote"
)

// Decide judges a request by the facts, as of now.
func Decide(r Request, f Facts, now time.Time, p Policy) Verdict {
	if r.Problem != nil {
		return *r.Problem
	}
	switch r.Kind {
	case Bootstrap:
		return *decideBootstrap(r, f, now, p)
	case Renewal:
		return *decideRenewal(r, f, now, p)
	case Serving:
		return *decideServing(r, f, now, p)
	}
	return *hold(FactsUnreadable, "a request of kind %q is not judged", r.Kind)
}

// check is one condition of an approval; nil says that it is fulfilled.
type check func(Request, Facts, fleet.Instance, time.Time, Policy) *Verdict

// decideBootstrap judges the request of an instance that is to join.
func decideBootstrap(r Request, f Facts, now time.Time, p Policy) *Verdict {
	if v := checkProof(r, f, p); v != nil {
		return v
	}
	i, v := choose(r, f, now, p)
	if v != nil {
		return v
	}
	for _, c := range []check{checkProver, checkImage, checkLaunch, checkOwner, checkGroup, checkNode} {
		if v := c(r, f, i, now, p); v != nil {
			v.Instance = i
			return v
		}
	}
	v = grantBootstrap(r, f, i, now, p)
	if v.Action == Approve {
		// Last: a Node is deleted only for an instance that gets its certificate.
		if taken := checkName(r, f, i, now, p); taken != nil {
			v = taken
		}
	}
	v.Instance = i
	return v
}

// checkProof asks for what the policy requires. Fleets with old user data have
// no proof to offer: their tokens are of a group of their own.
func checkProof(r Request, f Facts, p Policy) *Verdict {
	switch {
	case p.Proof == v1alpha1.ProofOff || r.Legacy:
		return nil
	case r.Proof == "" && p.Proof == v1alpha1.ProofAccept:
		return nil
	case r.Proof == "":
		return deny(ProofMissing, "the request has no annotation %s, and spec.approver.stsProof is require", v1alpha1.STSProofAnnotation)
	case f.Proof.False != nil:
		return disbelieve(f.Proof.False)
	case f.Proof.Identity == nil:
		return hold(STSUnreachable, "it is not known yet who signed the proof of identity")
	}
	return nil
}

// checkProver makes sure that who signed is who would be let in.
func checkProver(_ Request, f Facts, i fleet.Instance, _ time.Time, _ Policy) *Verdict {
	if who := f.Proof.Identity; who != nil && who.InstanceID != i.ID {
		return deny(ProofOtherInstance, "instance %s signed the proof of identity, and the name is that of %s", who.InstanceID, i.ID)
	}
	return nil
}

// late is for what AWS may not show yet: held while the request is young.
func late(r Request, now time.Time, p Policy, reason Reason, format string, args ...any) *Verdict {
	if now.Sub(r.Created) < p.Visible {
		return hold(reason, format+" (yet)", args...)
	}
	return deny(reason, format, args...)
}

// choose finds the one instance that has the requested name, computed again
// from what EC2 says, in our VPC and alive. Another VPC's instance, or one that
// is going, may show under a reused address before ours does.
func choose(r Request, f Facts, now time.Time, p Policy) (fleet.Instance, *Verdict) {
	matching := slices.DeleteFunc(slices.Clone(f.Candidates), func(i fleet.Instance) bool { return !named(i, r.Node, p) })
	if len(matching) == 0 {
		if len(f.Candidates) > 0 && slices.ContainsFunc(f.Candidates, fleet.Instance.Alive) {
			return fleet.Instance{}, deny(WrongName, "instance %s is not named %s", f.Candidates[0].ID, r.Node)
		}
		return fleet.Instance{}, late(r, now, p, NoInstance, "no instance is named %s", r.Node)
	}
	inVPC := slices.DeleteFunc(slices.Clone(matching), func(i fleet.Instance) bool { return i.VPC != p.VPC })
	if len(inVPC) == 0 {
		return fleet.Instance{}, late(r, now, p, OtherVPC, "instance %s is in VPC %q: expected %q", matching[0].ID, matching[0].VPC, p.VPC)
	}
	alive := slices.DeleteFunc(slices.Clone(inVPC), func(i fleet.Instance) bool { return !i.Alive() })
	switch len(alive) {
	case 0:
		return fleet.Instance{}, late(r, now, p, NotRunning, "instance %s is %s", inVPC[0].ID, inVPC[0].State)
	case 1:
		return alive[0], nil
	}
	return fleet.Instance{}, deny(Ambiguous, "%d instances are named %s", len(alive), r.Node)
}

// heldTooLong is how far past its window a launch is approved when the request
// came in time and AWS or the controller were away. What was granted to a launch
// needs to be remembered until then and no longer.
const heldTooLong = 30 * time.Minute

// checkLaunch admits an instance that was just launched, and at any time one that
// proves itself: its Node was deleted, and it joins again.
func checkLaunch(r Request, f Facts, i fleet.Instance, now time.Time, p Policy) *Verdict {
	v := inTime(r, f, i, now, p)
	if v != nil && f.proves(i) && r.Created.Sub(i.LaunchTime) >= -clockSkew {
		return nil
	}
	return v
}

// proves reports whether the request carries the good proof of that instance.
func (f Facts) proves(i fleet.Instance) bool {
	return f.Proof.Identity != nil && f.Proof.Identity.InstanceID == i.ID
}

// inTime wants a request that follows a launch. An instance that its group is
// bringing into service right now needs no younger launch: one that comes from a
// warm pool of running instances was launched long ago.
func inTime(r Request, f Facts, i fleet.Instance, now time.Time, p Policy) *Verdict {
	age := r.Created.Sub(i.LaunchTime)
	if g := f.Groups[i.Group]; g != nil && age >= -clockSkew {
		if m, ok := g.Member(i.ID); ok && m.LifecycleState.Pending() {
			return nil
		}
	}
	if age < -clockSkew || age > p.LaunchWindow {
		return deny(OutsideWindow, "request %s after the launch of %s: expected up to %s", age.Round(time.Second), i.ID, p.LaunchWindow)
	}
	if age := now.Sub(i.LaunchTime); age > p.LaunchWindow+heldTooLong {
		return deny(OutsideWindow, "judged %s after the launch of %s: expected up to %s", age.Round(time.Second), i.ID, p.LaunchWindow+heldTooLong)
	}
	return nil
}

func checkOwner(r Request, _ Facts, i fleet.Instance, now time.Time, p Policy) *Verdict {
	switch i.Cluster {
	case p.Cluster:
		return nil
	case "":
		return late(r, now, p, OtherCluster, "instance %s has no tag %s", i.ID, v1alpha1.ClusterTag)
	}
	return deny(OtherCluster, "instance %s: tag %s: %s: expected %q", i.ID, v1alpha1.ClusterTag, quote.Text(i.Cluster), p.Cluster)
}

func checkGroup(r Request, f Facts, i fleet.Instance, now time.Time, p Policy) *Verdict {
	g := f.Groups[i.Group]
	if i.Group == "" || g == nil {
		return late(r, now, p, NotManaged, "instance %s is in no Auto Scaling group", i.ID)
	}
	if why := g.Refusal(p.Cluster); why != "" {
		return late(r, now, p, NotManaged, "group %s is not of cluster %s: %s", g.Name, p.Cluster, why)
	}
	m, in := g.Member(i.ID)
	switch state := m.LifecycleState; {
	case !in:
		return late(r, now, p, NotManaged, "group %s does not list instance %s", g.Name, i.ID)
	case state.Pooled():
		return hold(WarmPool, "instance %s is %s", i.ID, state)
	case state.Leaving():
		return deny(Leaving, "instance %s is %s", i.ID, state)
	case !state.InService() && !state.Pending():
		return hold(NotInService, "instance %s is %q", i.ID, state)
	}
	return nil
}

// checkNode denies what no proof and no deletion can make right: a second identity
// for a launch that joined, and the name of a Node that lives by an operator's
// word.
func checkNode(_ Request, f Facts, i fleet.Instance, _ time.Time, _ Policy) *Verdict {
	n, joined := f.Node, f.granted(i).Joined
	switch {
	case n != nil && n.ControlPlane:
		return deny(ControlPlaneName, "a control plane node has this name")
	case n != nil && n.Admitted && n.Binding.Is(i.ID) && (n.Ready || !f.proves(i)):
		// One that is not Ready may have lost its certificate, and proves itself anew.
		return deny(AlreadyJoined, "the node of instance %s came from an approved join", i.ID)
	case n != nil && n.Record != nil && !n.gone() && n.Binding.Is(i.ID):
		return deny(AlreadyJoined, "the node of instance %s was adopted", i.ID)
	case n != nil && n.Record != nil && !n.gone():
		return deny(NameTaken, "the node of this name was adopted, and is not instance %s: if it is no longer needed, delete it and run: joinery adopt --remove NODE", i.ID)
	case joined && !f.proves(i):
		return deny(AlreadyJoined, "the node of instance %s was Ready since its launch", i.ID)
	case n != nil && n.Binding.Is(i.ID) && n.Ready && !f.proves(i):
		return deny(AlreadyJoined, "the node of instance %s is Ready", i.ID)
	}
	return nil
}

// checkName frees the name, which is the instance's by EC2's facts, of a Node that
// is something else. No living node can lose its Node by that: two instances of one
// network never have one address or one id.
func checkName(r Request, f Facts, i fleet.Instance, now time.Time, p Policy) *Verdict {
	n := f.Node
	if n == nil {
		return nil
	}
	b := n.Binding
	claimed := b.InstanceID == i.ID && (b.Standing == binding.Bound || b.Reason == binding.NoAddress)
	switch {
	case claimed: // half joined, or made again by the kubelet
		return nil
	case n.gone():
		return hold(StaleNode, "the node of this name is of an instance that is gone: %s", b.Message)
	case b.Reason == binding.NotObserved:
		return hold(EC2Unreachable, "%s", b.Message)
	case b.Reason == binding.NoSuchInstance && now.Sub(r.Created) < p.Visible:
		return hold(NameTaken, "the node of this name is Ready, and %s (yet)", b.Message)
	}
	return hold(ImpostorNode, "the name is that of instance %s, and the node of this name is not: %s", i.ID, b.Message)
}

// grantBootstrap bounds what one launch is given. Without a proof, somebody with
// another key is made to wait until what was given away before is worth nothing:
// whoever of the two is the instance, only one of them holds its identity.
func grantBootstrap(r Request, f Facts, i fleet.Instance, now time.Time, p Policy) *Verdict {
	g := f.granted(i)
	proven := f.Proof.Identity != nil
	v := approve(Attested, i, "instance %s of group %s in %s", i.ID, i.Group, i.Zone)
	if proven {
		v.Reason, v.Proof = Proven, f.Proof.Identity.Kind
		v.Message += fmt.Sprintf(", proven by %s (role %s)", v.Proof, f.Proof.Identity.Role)
	}
	switch {
	case proven && (g.Joined || inTime(r, f, i, now, p) != nil) && !(g.pending(r.Node) && slices.Contains(g.Keys, r.Key)):
		return grantRejoin(r, g, i, now, p)
	case slices.Contains(g.Keys, r.Key):
		v.Reason = Repeated
	case len(g.Keys) >= p.MaxGrants:
		return deny(TooManyGrants, "instance %s was granted %d certificates since its launch", i.ID, len(g.Keys))
	case len(g.Keys) > 0 && !proven && now.Before(g.Until):
		return hold(SecondClaimant, "another key was granted a certificate for instance %s, which is good for %s more", i.ID, g.Until.Sub(now).Round(time.Second))
	case len(g.Keys) > 0:
		v.Reason = Regranted
		v.Message += fmt.Sprintf("; certificate %d since its launch", len(g.Keys)+1)
	}
	v.Remember = g.with(r, now)
	return v
}

// grantRejoin admits an instance again whose Node was deleted or made again. More
// than one of these within an hour is worth a look: the Node may be deleted again
// and again.
func grantRejoin(r Request, g Grant, i fleet.Instance, now time.Time, p Policy) *Verdict {
	before := len(g.recentRejoins(now))
	if before >= p.MaxRejoins {
		return deny(TooManyGrants, "instance %s joined again %d times within %s", i.ID, before, rejoinPeriod)
	}
	v := approve(Rejoined, i, "instance %s of group %s joins again", i.ID, i.Group)
	if before > 0 {
		v.Reason = RejoinedAgain
		v.Message += fmt.Sprintf(", %d times within %s", before+1, rejoinPeriod)
	}
	v.Remember = g.rejoined(r, now)
	return v
}
