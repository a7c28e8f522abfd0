// Package labels sets the labels that a kubelet may not set on its own Node, such
// as node-role.kubernetes.io/* and *.node-restriction.kubernetes.io/*, from what
// the node's group declares. A Node gets them only after it was proven to be that
// of the instance which it names: what it says of itself counts for nothing.
// Plan decides and does no I/O; Labeler executes.
package labels

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/instances"
)

// Reason is what a Node was found to be.
type Reason string

// The reasons of a decision.
const (
	// Proven: the Node is that of the instance that it names.
	Proven Reason = "Proven"
	// NoInstance: EC2 does not know the instance, or not yet.
	NoInstance Reason = "NoInstance"
	// NotAlive: the instance is stopped or gone.
	NotAlive Reason = "NotAlive"
	// OtherVPC: the instance is in another VPC.
	OtherVPC Reason = "OtherVPC"
	// OtherCluster: the instance's cluster tag is missing or names another.
	OtherCluster Reason = "OtherCluster"
	// NotManaged: the instance is in no group that Joinery manages.
	NotManaged Reason = "NotManaged"
	// NotMember: the group does not list the instance, or not yet.
	NotMember Reason = "NotMember"
	// WrongName: the Node is not called as the instance's Node is.
	WrongName Reason = "WrongName"
	// NoAddress: the Node has no internal address yet.
	NoAddress Reason = "NoAddress"
	// WrongAddress: none of the Node's internal addresses is the instance's.
	WrongAddress Reason = "WrongAddress"
)

// Later says that the answer may be another one in a moment.
func (r Reason) Later() bool { return r == NoInstance || r == NotMember || r == NoAddress }

// Lie says that the Node claims to be what it is not.
func (r Reason) Lie() bool {
	return r == WrongName || r == WrongAddress || r == OtherVPC || r == OtherCluster
}

// Policy is what holds for every Node.
type Policy struct {
	// Cluster, Region and VPC that a node must be of.
	Cluster, Region, VPC string
	// Mode is how nodes are named.
	Mode v1alpha1.NodeNameMode
}

// Node is what a Node says of itself, and the labels that only others can have
// set.
type Node struct {
	// Name and UID of the Node.
	Name, UID string
	// InstanceID by its provider id.
	InstanceID string
	// Addresses are the internal ones.
	Addresses []string
	// Labels that a kubelet may not set.
	Labels map[string]string
}

// Facts are what AWS says about the instance that a Node names.
type Facts struct {
	// Found are the instances of that id.
	Found []instances.Instance
	// Group that the instance says it is of; nil for none.
	Group *instances.Group
	// Declared are the labels that the group's nodes are to have.
	Declared map[string]string
}

// Decision is what to do with a Node, and why.
type Decision struct {
	Reason  Reason
	Message string
	// Want are the labels that the Node is to have, if it is Proven.
	Want map[string]string
	// Refused are declared labels that no declaration sets, sorted.
	Refused []string
}

// Plan decides which labels a Node is to have.
func Plan(n Node, f Facts, p Policy) Decision {
	reason, message := prove(n, f, p)
	d := Decision{Reason: reason, Message: message}
	if reason != Proven {
		return d
	}
	d.Want = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(f.Declared)) {
		switch {
		case v1alpha1.ControllerSets(key):
			d.Want[key] = f.Declared[key]
		case v1alpha1.ControlPlaneLabel(key):
			d.Refused = append(d.Refused, key)
		}
	}
	return d
}

// Missing returns those of want that the Node lacks or has another value of.
func Missing(n Node, want map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range want {
		if have, ok := n.Labels[key]; !ok || have != value {
			out[key] = value
		}
	}
	return out
}

// prove is the identity check. Every line of it must hold.
func prove(n Node, f Facts, p Policy) (Reason, string) {
	if len(f.Found) != 1 || f.Found[0].ID != n.InstanceID {
		return NoInstance, "EC2 knows no instance " + n.InstanceID
	}
	i := f.Found[0]
	switch {
	case !i.Alive():
		return NotAlive, fmt.Sprintf("instance %s is %s", i.ID, i.State)
	case i.VPC != p.VPC:
		return OtherVPC, fmt.Sprintf("instance %s is in VPC %s", i.ID, i.VPC)
	case i.Cluster != p.Cluster:
		return OtherCluster, fmt.Sprintf("instance %s has the cluster tag %q", i.ID, i.Cluster)
	case f.Group == nil || f.Group.Name != i.Group || !f.Group.Managed(p.Cluster):
		return NotManaged, fmt.Sprintf("instance %s is in no managed group", i.ID)
	}
	if _, member := f.Group.Lifecycles[i.ID]; !member {
		return NotMember, fmt.Sprintf("group %s does not list instance %s", i.Group, i.ID)
	}
	name, err := i.NodeName(p.Region, p.Mode)
	switch {
	case err != nil:
		return NoInstance, fmt.Sprintf("instance %s has no name: %v", i.ID, err)
	case n.Name != name:
		return WrongName, fmt.Sprintf("the Node of instance %s is called %s", i.ID, name)
	case len(n.Addresses) == 0:
		return NoAddress, "it has no internal address yet"
	case i.PrivateIP == "" || !slices.Contains(n.Addresses, i.PrivateIP):
		return WrongAddress, fmt.Sprintf("its addresses are %s, that of instance %s is %s", strings.Join(n.Addresses, ", "), i.ID, i.PrivateIP)
	}
	return Proven, "it is the Node of instance " + i.ID + " of group " + i.Group
}
