package csr

import (
	"time"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/quote"
)

// decideRenewal judges a kubelet's request for its own client certificate, with
// which it comes under the name that it asks for. Kubernetes would approve it by
// itself for whoever holds a certificate of that name (ClusterRole …:selfnodeclient),
// so that a certificate of ten minutes that was stolen could be turned into one of
// a year, even after its instance is gone.
func decideRenewal(r Request, f Facts, now time.Time, p Policy) *Verdict {
	if f.Node == nil {
		return firstOwn(r, f, now, p)
	}
	i, v := holder(r, f, now, p)
	if v != nil {
		return v
	}
	switch n := f.Node; {
	case f.ShortLived, !n.Admitted && n.Record == nil:
		return grantOwn(r, f, i)
	case n.Binding.Instance == nil:
		return approve(Renewed, i, "the node is as it was adopted")
	}
	return approve(Renewed, i, "instance %s is %s", i.ID, i.State)
}

// holder finds the instance behind the Node that asks. A Node is given something
// only if EC2's facts bind it to its instance and it came from an approved join, or
// if it is as an operator adopted it; an adopted Node need not be an instance. A
// Node that did neither is held and not denied, as an operator can still adopt it.
func holder(r Request, f Facts, now time.Time, p Policy) (fleet.Instance, *Verdict) {
	n, b := f.Node, f.Node.Binding
	i := fleet.Instance{ID: b.InstanceID}
	if b.Instance != nil {
		i = *b.Instance
	}
	v := stand(r, f, i, now, p)
	if v != nil {
		v.Instance = i
		return i, v
	}
	if !n.Admitted && n.Record == nil && !joining(r, f, i) {
		v = notAdmitted(r, n)
		v.Instance = i
	}
	return i, v
}

// joining reports whether the Node is the one of a join that is not complete: its
// launch was admitted, and the Node was not Ready since. A renewal has to be with
// the certificate of that join too; before Kubernetes 1.32 the API server does not
// say with which one it is.
func joining(r Request, f Facts, i fleet.Instance) bool {
	if r.Kind == Renewal && f.ShortLived {
		return true // grantOwn judges it
	}
	return f.granted(i).pending(r.Node) && (r.Kind == Serving || r.Credential == "")
}

// stand says what is wrong with how the Node stands to EC2's instances.
func stand(r Request, f Facts, i fleet.Instance, now time.Time, p Policy) *Verdict {
	n, b := f.Node, f.Node.Binding
	switch {
	case b.Standing == binding.Bound, b.Standing == binding.Adopted:
		return nil
	case b.Reason == binding.InstanceGone:
		return deny(NotRunning, "%s", b.Message)
	case b.Standing == binding.Impostor && b.Proven:
		return deny(ImpostorNode, "%s", b.Message)
	case b.Standing == binding.Impostor && !n.Admitted:
		return hold(ImpostorNode, "%s: if the node is honest, run: joinery adopt %s", b.Message, quote.Name(r.Node))
	case !n.Admitted && n.Record == nil && !joining(r, f, i):
		return notAdmitted(r, n)
	case b.Reason == binding.NotObserved:
		return hold(EC2Unreachable, "%s", b.Message)
	case b.Reason == binding.InstanceStopped:
		return late(r, now, p, NotRunning, "%s", b.Message)
	case b.Reason == binding.NoSuchInstance:
		return late(r, now, p, NoInstance, "%s", b.Message)
	case b.Standing == binding.Impostor:
		return late(r, now, p, ImpostorNode, "%s", b.Message)
	}
	return hold(Unbound, "%s", b.Message)
}

// notAdmitted holds a request until an operator adopts the Node, or the Node's
// instance joins again.
func notAdmitted(r Request, n *Node) *Verdict {
	return hold(NotAdmitted, "the node came from no approved join and was not adopted (%s): if it is one of yours, run: joinery adopt %s", n.Binding.Message, quote.Name(r.Node))
}

// firstOwn judges the first certificate of a kubelet whose Node is not there yet:
// everything that let the instance in must still hold, and it must have been let in.
func firstOwn(r Request, f Facts, now time.Time, p Policy) *Verdict {
	i, v := choose(r, f, now, p)
	if v != nil {
		if gone := f.letInAndGone(r.Node); gone != nil {
			v = deny(NotRunning, "instance %s, which was let in as %s, is %s", gone.ID, r.Node, gone.State)
			v.Instance = *gone
		}
		return v
	}
	for _, c := range []check{checkOwner, checkGroup} {
		if v := c(r, f, i, now, p); v != nil {
			v.Instance = i
			return v
		}
	}
	return grantOwn(r, f, i)
}

// letInAndGone is the instance that got its certificate under that name and is
// terminated, or about to be; nil for none. EC2 no longer shows its address, so
// that it is not found by its name.
func (f Facts) letInAndGone(name string) *fleet.Instance {
	for _, i := range f.Candidates {
		if g, ok := f.Grants[i.ID]; ok && g.Node == name && i.Going() {
			return &i
		}
	}
	return nil
}

// grantOwn gives a launch one kubelet's certificate. A kubelet that crashes asks
// again with the key that it has stored; another key is another claimant.
func grantOwn(r Request, f Facts, i fleet.Instance) *Verdict {
	g := f.granted(i)
	var v *Verdict
	switch {
	case len(g.Keys) == 0:
		v = hold(NotGranted, "instance %s was not let in since its launch, and has no node", i.ID)
	case g.Joined:
		v = deny(AlreadyJoined, "the node of instance %s was Ready since its launch, and has a certificate of its own", i.ID)
	case g.Own == r.Key:
		v = approve(Repeated, i, "the kubelet of instance %s asks again", i.ID)
	case g.OwnOf == len(g.Keys):
		v = deny(SecondClaimant, "another key has the kubelet's certificate of instance %s", i.ID)
	default:
		v = approve(FirstOwn, i, "the kubelet of instance %s of group %s in %s", i.ID, i.Group, i.Zone)
		g.Own, g.OwnOf = r.Key, len(g.Keys)
		v.Remember = &g
	}
	v.Instance = i
	return v
}

// named says whether the instance has that node name by the cluster's rule.
func named(i fleet.Instance, name string, p Policy) bool {
	is, err := i.NodeName(p.Region, p.Mode)
	return err == nil && is == name
}
