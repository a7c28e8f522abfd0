package csr

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/instances"
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
type check func(Request, Facts, instances.Instance, time.Time, Policy) *Verdict

// decideBootstrap judges the request of an instance that is to join.
func decideBootstrap(r Request, f Facts, now time.Time, p Policy) *Verdict {
	if v := checkProof(r, f, p); v != nil {
		return v
	}
	i, v := choose(r, f, now, p)
	if v != nil {
		return v
	}
	for _, c := range []check{checkProver, checkLaunch, checkOwner, checkGroup, checkNode} {
		if v := c(r, f, i, now, p); v != nil {
			v.Instance = i
			return v
		}
	}
	v = grantBootstrap(r, f, i, now, p)
	v.Instance = i
	return v
}

// falseReasons name the ways in which a proof is false.
var falseReasons = map[attest.Why]Reason{
	attest.Malformed: ProofMalformed, attest.OtherEndpoint: ProofOtherEndpoint, attest.Expired: ProofExpired,
	attest.Rejected: ProofRejected, attest.OtherIdentity: ProofOtherIdentity,
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
		reason, known := falseReasons[f.Proof.False.Why]
		if !known {
			reason = ProofMalformed
		}
		return deny(reason, "%v", f.Proof.False)
	case f.Proof.Identity == nil:
		return hold(STSUnreachable, "it is not known yet who signed the proof of identity")
	}
	return nil
}

// checkProver makes sure that who signed is who would be let in.
func checkProver(_ Request, f Facts, i instances.Instance, _ time.Time, _ Policy) *Verdict {
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
func choose(r Request, f Facts, now time.Time, p Policy) (instances.Instance, *Verdict) {
	matching := slices.DeleteFunc(slices.Clone(f.Candidates), func(i instances.Instance) bool { return !named(i, r.Node, p) })
	if len(matching) == 0 {
		if len(f.Candidates) > 0 && slices.ContainsFunc(f.Candidates, instances.Instance.Alive) {
			return instances.Instance{}, deny(WrongName, "instance %s is not named %s", f.Candidates[0].ID, r.Node)
		}
		return instances.Instance{}, late(r, now, p, NoInstance, "no instance is named %s", r.Node)
	}
	inVPC := slices.DeleteFunc(slices.Clone(matching), func(i instances.Instance) bool { return i.VPC != p.VPC })
	if len(inVPC) == 0 {
		return instances.Instance{}, late(r, now, p, OtherVPC, "instance %s is in VPC %q: expected %q", matching[0].ID, matching[0].VPC, p.VPC)
	}
	alive := slices.DeleteFunc(slices.Clone(inVPC), func(i instances.Instance) bool { return !i.Alive() })
	switch len(alive) {
	case 0:
		return instances.Instance{}, late(r, now, p, NotRunning, "instance %s is %s", inVPC[0].ID, inVPC[0].State)
	case 1:
		return alive[0], nil
	}
	return instances.Instance{}, deny(Ambiguous, "%d instances are named %s", len(alive), r.Node)
}

// heldTooLong is how far past its window a launch is approved when the request
// came in time and AWS or the controller were away. What was granted to a launch
// needs to be remembered until then and no longer.
const heldTooLong = 30 * time.Minute

// checkLaunch lets in who was just launched. An instance that its group is
// bringing into service right now needs no younger launch: one that comes from a
// warm pool of running instances was launched long ago.
func checkLaunch(r Request, f Facts, i instances.Instance, now time.Time, p Policy) *Verdict {
	age := r.Created.Sub(i.LaunchTime)
	if g := f.Groups[i.Group]; g != nil && strings.HasPrefix(g.Lifecycles[i.ID], "Pending") && age >= -clockSkew {
		return nil
	}
	if age < -clockSkew || age > p.LaunchWindow {
		return deny(OutsideWindow, "request %s after the launch of %s: expected up to %s", age.Round(time.Second), i.ID, p.LaunchWindow)
	}
	if age := now.Sub(i.LaunchTime); age > p.LaunchWindow+heldTooLong {
		return deny(OutsideWindow, "judged %s after the launch of %s: expected up to %s", age.Round(time.Second), i.ID, p.LaunchWindow+heldTooLong)
	}
	return nil
}

func checkOwner(r Request, _ Facts, i instances.Instance, now time.Time, p Policy) *Verdict {
	switch i.Cluster {
	case p.Cluster:
		return nil
	case "":
		return late(r, now, p, OtherCluster, "instance %s has no tag %s", i.ID, v1alpha1.ClusterTag)
	}
	return deny(OtherCluster, "instance %s: tag %s: %q: expected %q", i.ID, v1alpha1.ClusterTag, i.Cluster, p.Cluster)
}

func checkGroup(r Request, f Facts, i instances.Instance, now time.Time, p Policy) *Verdict {
	g := f.Groups[i.Group]
	if i.Group == "" || g == nil {
		return late(r, now, p, NotManaged, "instance %s is in no Auto Scaling group", i.ID)
	}
	if !g.Managed(p.Cluster) {
		return late(r, now, p, NotManaged, "group %s lacks the discovery tags of cluster %s", g.Name, p.Cluster)
	}
	state, in := g.Lifecycles[i.ID]
	switch {
	case !in:
		return late(r, now, p, NotManaged, "group %s does not list instance %s", g.Name, i.ID)
	case strings.HasPrefix(state, "Warmed:"):
		return hold(WarmPool, "instance %s is %s", i.ID, state)
	case strings.HasPrefix(state, "Terminat"), strings.HasPrefix(state, "Detach"):
		return deny(Leaving, "instance %s is %s", i.ID, state)
	case state != "InService" && !strings.HasPrefix(state, "Pending"):
		return hold(NotInService, "instance %s is %q", i.ID, state)
	}
	return nil
}

func checkNode(r Request, f Facts, i instances.Instance, now time.Time, p Policy) *Verdict {
	// Whoever had it before, this launch is let in once.
	if g := f.granted(i); g.Joined {
		return deny(AlreadyJoined, "the node of instance %s was Ready since its launch", i.ID)
	}
	n := f.Node
	switch {
	case n == nil:
		return nil
	case n.ControlPlane:
		return deny(ControlPlaneName, "a control plane node has this name")
	case n.InstanceID == i.ID && n.Ready:
		return deny(AlreadyJoined, "the node of instance %s is Ready", i.ID)
	case n.InstanceID == i.ID:
		return nil
	case n.stale():
		return hold(StaleNode, "the node of this name is of instance %s, which is gone", n.InstanceID)
	case n.unknown():
		return late(r, now, p, NameTaken, "the node of this name is Ready and of instance %s, which EC2 does not know", n.InstanceID)
	}
	return deny(NameTaken, "the node of this name is of instance %q: expected %s", n.InstanceID, i.ID)
}

// grantBootstrap bounds what one launch is given. Without a proof, somebody with
// another key is made to wait until what was given away before is worth nothing:
// whoever of the two is the instance, only one of them holds its identity.
func grantBootstrap(r Request, f Facts, i instances.Instance, now time.Time, p Policy) *Verdict {
	g := f.granted(i)
	proven := f.Proof.Identity != nil
	v := approve(Attested, i, "instance %s of group %s in %s", i.ID, i.Group, i.Zone)
	if proven {
		v.Reason = Proven
	}
	switch {
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
