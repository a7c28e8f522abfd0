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

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/quote"
)

// Reason is what a Node was found to be.
type Reason string

// The reasons of a decision, beside those of package binding for a Node that is not
// bound.
const (
	// Proven: the Node is the instance that it claims, and a managed group lists it.
	Proven Reason = "Proven"
	// NotManaged: the instance is in no group that Joinery manages.
	NotManaged Reason = "NotManaged"
	// NotMember: the group does not list the instance, or not yet.
	NotMember Reason = "NotMember"
)

// Later reports whether the answer may be another one in a moment.
func (r Reason) Later() bool {
	switch r {
	case NotMember, Reason(binding.NoSuchInstance), Reason(binding.NoAddress), Reason(binding.NotObserved):
		return true
	}
	return false
}

// Policy is what holds for every Node.
type Policy struct {
	// Cluster that a node must be of.
	Cluster string
}

// Node is a Node, and the labels of it that no kubelet can have set.
type Node struct {
	// Name and UID of the Node.
	Name, UID string
	// Claims are what the Node says about itself, in one text: a decision holds
	// while they stay the same.
	Claims string
	// Labels that a kubelet may not set.
	Labels map[string]string
}

// Facts are what is known about a Node.
type Facts struct {
	// Verdict is how the Node stands to the instances of EC2.
	Verdict binding.Verdict
	// Group that the instance is of; nil for none.
	Group *fleet.Group
	// Declared are the labels that the group's nodes are to have.
	Declared map[string]string
}

// Decision is what to do with a Node, and why.
type Decision struct {
	Reason  Reason
	Message string
	// Lie reports whether the Node claims to be what it is not.
	Lie bool
	// Want are the labels that the Node is to have, if it is Proven.
	Want map[string]string
	// Refused are declared labels that no declaration sets, sorted.
	Refused []string
}

// Plan decides which labels a Node is to have.
func Plan(f Facts, p Policy) Decision {
	reason, message := prove(f, p)
	d := Decision{Reason: reason, Message: message, Lie: f.Verdict.Standing == binding.Impostor}
	if reason != Proven {
		return d
	}
	d.Want = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(f.Declared)) {
		switch {
		case v1alpha1.ControllerSets(key):
			d.Want[key] = f.Declared[key]
		case v1alpha1.ControlPlaneLabel(key), v1alpha1.OwnLabel(key):
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

// prove asks the binding, and whether the instance is one of a managed group. Every
// line of it must hold.
func prove(f Facts, p Policy) (Reason, string) {
	v := f.Verdict
	switch {
	case v.Reason == "":
		return Reason(binding.NotObserved), "it was not looked up yet"
	case !v.Counts():
		return Reason(v.Reason), v.Message
	}
	i := v.Instance
	switch {
	case i.Cluster != p.Cluster:
		return Reason(binding.OtherCluster), fmt.Sprintf("instance %s has the cluster tag %s", i.ID, quote.Text(i.Cluster))
	case f.Group == nil || f.Group.Name != i.Group || !f.Group.Managed(p.Cluster):
		return NotManaged, fmt.Sprintf("instance %s is in no managed group", i.ID)
	}
	if _, member := f.Group.Member(i.ID); !member {
		return NotMember, fmt.Sprintf("group %s does not list instance %s", i.Group, i.ID)
	}
	return Proven, "it is the Node of instance " + i.ID + " of group " + i.Group
}
