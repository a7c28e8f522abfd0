package csr

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/joinery/joinery/agent/identity"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/instances"
)

// Action is what becomes of a request.
type Action string

// The actions. Deny is final for a request, so it is for what is proven false;
// what may only be late is held and judged again; what is not ours is ignored.
const (
	Approve Action = "Approve"
	Deny    Action = "Deny"
	Hold    Action = "Hold"
	Ignore  Action = "Ignore"
)

// Reason is why.
type Reason string

// The reasons of a verdict.
const (
	// Attested: every fact agrees; the launch's first certificate.
	Attested Reason = "Attested"
	// Repeated: the same key asked before and was granted.
	Repeated Reason = "Repeated"
	// Regranted: another key for a launch that was already granted one.
	Regranted Reason = "Regranted"

	Malformed    Reason = "Malformed"
	WeakKey      Reason = "WeakKey"
	WrongSubject Reason = "WrongSubject"
	HasSANs      Reason = "HasSANs"
	WrongUsages  Reason = "WrongUsages"
	LongLived    Reason = "LongLived"
	// WrongName: no instance can have this name.
	WrongName Reason = "WrongName"
	// ControlPlaneName: a master has this name.
	ControlPlaneName Reason = "ControlPlaneName"
	// EC2Unreachable: AWS did not answer; held for as long as it takes.
	EC2Unreachable Reason = "EC2Unreachable"
	// NoInstance: EC2 knows no instance of this name, or not yet.
	NoInstance Reason = "NoInstance"
	// Ambiguous: several instances have this name.
	Ambiguous  Reason = "Ambiguous"
	OtherVPC   Reason = "OtherVPC"
	NotRunning Reason = "NotRunning"
	// OtherCluster: the instance's cluster tag is missing or names another.
	OtherCluster Reason = "OtherCluster"
	// NotManaged: the instance is in no group that Joinery manages.
	NotManaged Reason = "NotManaged"
	// Leaving: the group is about to terminate or detach the instance.
	Leaving Reason = "Leaving"
	// WarmPool: the instance waits in a warm pool and is not to join yet.
	WarmPool Reason = "WarmPool"
	// NotInService: the group has taken the instance out of service, or has it
	// in a state that is not known here.
	NotInService Reason = "NotInService"
	// OutsideWindow: the request does not follow a launch.
	OutsideWindow Reason = "OutsideWindow"
	// NameTaken: a Node of another, living instance has this name.
	NameTaken Reason = "NameTaken"
	// StaleNode: a Node of an instance that is gone has this name; it goes first.
	StaleNode Reason = "StaleNode"
	// AlreadyJoined: this launch joined already.
	AlreadyJoined Reason = "AlreadyJoined"
	// TooManyGrants: this launch was granted as many certificates as it may be.
	TooManyGrants Reason = "TooManyGrants"
	// FactsUnreadable: the API server did not say which Node has the name or
	// what was granted before.
	FactsUnreadable Reason = "FactsUnreadable"
	// UnknownToken: the requester's token is none of ours, or was revoked.
	UnknownToken Reason = "UnknownToken"
	// TooManyHeld: as many requests are held as may be; this one waits unjudged.
	TooManyHeld Reason = "TooManyHeld"
)

// Verdict is what becomes of a request, and why.
type Verdict struct {
	Action  Action
	Reason  Reason
	Message string
	// Instance that the request was found to be for; empty if none was.
	Instance instances.Instance
}

func deny(r Reason, format string, args ...any) *Verdict {
	return &Verdict{Action: Deny, Reason: r, Message: fmt.Sprintf(format, args...)}
}

func hold(r Reason, format string, args ...any) *Verdict {
	return &Verdict{Action: Hold, Reason: r, Message: fmt.Sprintf(format, args...)}
}

// Policy is what holds for every request.
type Policy struct {
	// Cluster, Region and VPC that a node must be of.
	Cluster, Region, VPC string
	// Mode is how nodes are named.
	Mode v1alpha1.NodeNameMode
	// LaunchWindow is how long after its launch an instance may ask.
	LaunchWindow time.Duration
	// Visible is how long AWS may take to show a new instance and its tags;
	// until then what is missing is awaited and not denied.
	Visible time.Duration
	// MaxGrants bounds the certificates for one launch. One would strand a
	// node whose first join failed; no bound would reopen theft.
	MaxGrants int
	// MaxHeld bounds the requests that are held, and with them the questions
	// to AWS: a thief can make any number of requests for instances that do
	// not show. Beyond it requests wait unjudged.
	MaxHeld int
}

// clockSkew is how far the API server's clock may be behind EC2's.
const clockSkew = 10 * time.Second

// Node is what the API server says about the Node of the requested name.
type Node struct {
	UID string
	// Ready and ControlPlane are as the Node says.
	Ready, ControlPlane bool
	// InstanceID is that of its provider id; empty when it has none.
	InstanceID string
	// InstanceGone says that EC2 confirmed that instance to be gone,
	// InstanceUnknown that EC2 does not know it, or not yet.
	InstanceGone, InstanceUnknown bool
}

// stale says that nothing can live behind the Node while another instance is
// known to have its name.
func (n Node) stale() bool { return n.InstanceGone || (n.InstanceUnknown && !n.Ready) }

// Facts are what was found out about a request.
type Facts struct {
	// Candidates are the instances found for the name, of any VPC and state.
	Candidates []instances.Instance
	// Groups has the Auto Scaling groups of the candidates, by name.
	Groups map[string]*instances.Group
	// Node of the requested name; nil for none.
	Node *Node
	// Grants holds what was granted before, by instance id.
	Grants map[string]Grant
}

// Decide judges a request by the facts, as of now.
func Decide(r Request, f Facts, now time.Time, p Policy) Verdict {
	if r.Problem != nil {
		return *r.Problem
	}
	i, v := choose(r, f, now, p)
	if v != nil {
		return *v
	}
	for _, check := range []func(Request, Facts, instances.Instance, time.Time, Policy) *Verdict{
		checkLaunch, checkOwner, checkGroup, checkNode,
	} {
		if v := check(r, f, i, now, p); v != nil {
			v.Instance = i
			return *v
		}
	}
	v = checkGrants(r, f, i, p)
	v.Instance = i
	return *v
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
	named := slices.DeleteFunc(slices.Clone(f.Candidates), func(i instances.Instance) bool {
		name, err := identity.NodeName(identity.Facts{InstanceID: i.ID, Region: p.Region, Zone: i.Zone, PrivateIP: i.PrivateIP}, p.Mode)
		return err != nil || name != r.Node
	})
	if len(named) == 0 {
		if len(f.Candidates) > 0 && slices.ContainsFunc(f.Candidates, instances.Instance.Alive) {
			return instances.Instance{}, deny(WrongName, "instance %s is not named %s", f.Candidates[0].ID, r.Node)
		}
		return instances.Instance{}, late(r, now, p, NoInstance, "no instance is named %s", r.Node)
	}
	inVPC := slices.DeleteFunc(slices.Clone(named), func(i instances.Instance) bool { return i.VPC != p.VPC })
	if len(inVPC) == 0 {
		return instances.Instance{}, late(r, now, p, OtherVPC, "instance %s is in VPC %q: expected %q", named[0].ID, named[0].VPC, p.VPC)
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

func checkLaunch(r Request, _ Facts, i instances.Instance, now time.Time, p Policy) *Verdict {
	age := r.Created.Sub(i.LaunchTime)
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
	n := f.Node
	switch {
	case n == nil:
		return nil
	case n.ControlPlane:
		return deny(ControlPlaneName, "a control plane node has this name")
	case n.InstanceID == i.ID && n.Ready:
		return deny(AlreadyJoined, "the node of instance %s is Ready", i.ID)
	case n.InstanceID == i.ID:
		if g, ok := f.Grants[i.ID]; ok && g.Launch.Equal(i.LaunchTime) && g.Joined {
			return deny(AlreadyJoined, "the node of instance %s was Ready since its launch", i.ID)
		}
		return nil
	case n.stale():
		return hold(StaleNode, "the node of this name is of instance %s, which is gone", n.InstanceID)
	case n.InstanceUnknown:
		return late(r, now, p, NameTaken, "the node of this name is Ready and of instance %s, which EC2 does not know", n.InstanceID)
	}
	return deny(NameTaken, "the node of this name is of instance %q: expected %s", n.InstanceID, i.ID)
}

func checkGrants(r Request, f Facts, i instances.Instance, p Policy) *Verdict {
	v := &Verdict{Action: Approve, Reason: Attested, Message: fmt.Sprintf("instance %s of group %s in %s", i.ID, i.Group, i.Zone)}
	g, before := f.Grants[i.ID]
	switch {
	case !before || !g.Launch.Equal(i.LaunchTime):
	case slices.Contains(g.Keys, r.Key):
		v.Reason = Repeated
	case len(g.Keys) >= p.MaxGrants:
		return deny(TooManyGrants, "instance %s was granted %d certificates since its launch", i.ID, len(g.Keys))
	default:
		v.Reason = Regranted
		v.Message += fmt.Sprintf("; certificate %d since its launch", len(g.Keys)+1)
	}
	return v
}
