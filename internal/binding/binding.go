// Package binding decides which instance a Node is. It is the one place for that
// truth: approver, janitor, hooks, labels and autoscaler all ask it, and none of
// them believes what a Node says about itself.
//
// A Node is bound to an instance only if all of this holds:
//   - EC2 shows that instance pending or running, in the cluster's VPC;
//   - the instance's facts give exactly this Node's name (identity.NodeName);
//   - every internal address of the Node is the instance's, and there is one;
//   - the instance's cluster tag does not name another cluster;
//   - no other Node has a better claim to the instance.
//
// Everything else has a name of its own, see Standing. The package does no I/O.
package binding

import (
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
)

// Standing is how a Node stands to the instances of EC2.
type Standing string

// The standings of a Node.
const (
	// Bound: the Node is that instance, by EC2's facts.
	Bound Standing = "Bound"
	// Adopted: an operator recorded the Node before Joinery judged it, and it is
	// still the one that was recorded (see Record).
	Adopted Standing = "Adopted"
	// Impostor: EC2's facts contradict what the Node claims, see Reason.
	Impostor Standing = "Impostor"
	// Leaving: the Node's instance is going or gone: it is stopped, terminated, or
	// EC2 no longer knows it.
	Leaving Standing = "Leaving"
	// Unknown: neither proven nor contradicted, or not yet.
	Unknown Standing = "Unknown"
)

// Reason is why a Node stands as it does.
type Reason string

// The reasons of a Verdict, by standing.
const (
	// Bound: every fact agrees.
	FactsAgree Reason = "FactsAgree"
	// Adopted: the record matches the Node.
	Recorded Reason = "Recorded"

	// Impostor: the instance's Node has another name.
	OtherName Reason = "OtherName"
	// Impostor: an internal address of the Node is not the instance's.
	OtherAddress Reason = "OtherAddress"
	// Unknown: name and addresses agree, and the instance is in another VPC.
	OtherVPC Reason = "OtherVPC"
	// Impostor: the instance is tagged for another cluster.
	OtherCluster Reason = "OtherCluster"
	// Impostor: another Node is bound to the claimed instance.
	ClaimedTwice Reason = "ClaimedTwice"
	// Impostor: a Node of this name was adopted, with another UID or provider id, and facts do not bind it.
	OtherThanRecorded Reason = "OtherThanRecorded"

	// Leaving: EC2 shows the instance as shutting-down or terminated.
	InstanceGone Reason = "InstanceGone"
	// Leaving: EC2 shows the instance as stopping or stopped.
	InstanceStopped Reason = "InstanceStopped"

	// Unknown: EC2 does not know the claimed instance: not yet, or no longer.
	NoSuchInstance Reason = "NoSuchInstance"
	// Unknown: the Node has no provider id, and its name is no instance's.
	NoInstance Reason = "NoInstance"
	// Unknown: the provider id is not one of AWS.
	ForeignProvider Reason = "ForeignProvider"
	// Unknown: the Node has no internal address yet.
	NoAddress Reason = "NoAddress"
	// Unknown: EC2 was not asked about the instance, or did not answer.
	NotObserved Reason = "NotObserved"
	// Unknown: several instances fit the Node.
	Ambiguous Reason = "Ambiguous"
)

// Node is what a Node says about itself, and what no kubelet can change about it.
type Node struct {
	// Name and UID of the Node.
	Name, UID string
	// ProviderID as the Node has it; a claim.
	ProviderID string
	// Addresses are the internal ones; a claim.
	Addresses []string
	// ControlPlane reports whether the Node has kubeadm's control-plane label. A
	// kubelet cannot set it (NodeRestriction).
	ControlPlane bool
}

// Rules are what holds for every Node of a cluster.
type Rules struct {
	// Cluster, Region and VPC that a Node must be of.
	Cluster, Region, VPC string
	// Mode is how Nodes are named.
	Mode v1alpha1.NodeNameMode
}

// Verdict is how a Node stands, and why.
type Verdict struct {
	Standing Standing
	Reason   Reason
	// Message gives the facts of Reason. What the Node wrote is quoted and
	// clipped in it.
	Message string
	// InstanceID that the Node claims, or that its name gives; empty for none.
	InstanceID string
	// Instance is what EC2 says about it; nil when EC2 says nothing.
	Instance *fleet.Instance
	// Proven reports, of an Impostor, whether EC2's facts alone prove the lie, so
	// that the Node may be removed: its name has the form of an instance's and is
	// not the claimed instance's, or the claimed instance has its own Node. A
	// Node with a custom name that nobody adopted is excluded, and not removed.
	Proven bool
}

// Is reports whether the verdict binds the Node to that instance. An adopted Node
// is its recorded instance while EC2 shows that one.
func (v Verdict) Is(instanceID string) bool {
	return instanceID != "" && v.InstanceID == instanceID && v.Counts()
}

// Counts reports whether the Node may count as the instance that it claims: bound,
// or adopted with an instance that EC2 shows.
func (v Verdict) Counts() bool {
	return v.Instance != nil && (v.Standing == Bound || v.Standing == Adopted)
}
