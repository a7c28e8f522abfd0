package csr

import (
	"time"

	"github.com/joinery/joinery/controlplane/instances"
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
	i, v := behind(r, f, now, p)
	if v != nil {
		return v
	}
	if f.ShortLived {
		return grantOwn(r, f, i)
	}
	return approve(Renewed, i, "instance %s is %s", i.ID, i.State)
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
func (f Facts) letInAndGone(name string) *instances.Instance {
	for _, i := range f.Candidates {
		if g, ok := f.Grants[i.ID]; ok && g.Node == name && i.Going() {
			return &i
		}
	}
	return nil
}

// grantOwn gives a launch one kubelet's certificate. A kubelet that crashes asks
// again with the key that it has stored; another key is another claimant.
func grantOwn(r Request, f Facts, i instances.Instance) *Verdict {
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

// behind finds the instance behind the Node that asks, alive and where it should
// be. Nodes that somebody else has named and joined are no business of the
// naming rule: their names are held to be right since they have a Node.
func behind(r Request, f Facts, now time.Time, p Policy) (instances.Instance, *Verdict) {
	i, v := identify(r, f, now, p)
	if v == nil && i.Cluster != "" {
		v = checkOwner(r, f, i, now, p)
	}
	if v == nil && i.Cluster != "" && !f.Node.ControlPlane && !named(i, r.Node, p) {
		v = deny(WrongName, "instance %s of the node is not named %s", i.ID, r.Node)
	}
	if v != nil {
		v.Instance = i
	}
	return i, v
}

// identify finds the instance by the Node's provider id, or by its name when it
// has none.
func identify(r Request, f Facts, now time.Time, p Policy) (instances.Instance, *Verdict) {
	switch n := f.Node; {
	case n.InstanceID == "":
		return choose(r, f, now, p)
	case n.Instance == nil:
		return instances.Instance{}, late(r, now, p, NoInstance, "EC2 does not know instance %s of the node", n.InstanceID)
	default:
		return *n.Instance, placed(r, *n.Instance, now, p)
	}
}

// placed says what is wrong with an instance that is known by its id.
func placed(r Request, i instances.Instance, now time.Time, p Policy) *Verdict {
	switch {
	case i.Going():
		return deny(NotRunning, "instance %s is %s", i.ID, i.State)
	case !i.Alive():
		return late(r, now, p, NotRunning, "instance %s is %s", i.ID, i.State)
	case i.VPC != p.VPC:
		return deny(OtherVPC, "instance %s is in VPC %q: expected %q", i.ID, i.VPC, p.VPC)
	}
	return nil
}

// named says whether the instance has that node name by the cluster's rule.
func named(i instances.Instance, name string, p Policy) bool {
	is, err := i.NodeName(p.Region, p.Mode)
	return err == nil && is == name
}
