package binding

import (
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
)

// AdmittedLabel on a Node holds the UID of the Node that an approved, proven join
// made. No kubelet can set it: NodeRestriction refuses labels of this domain, on
// creation too. A Node that was made again has another UID and hence is not
// admitted, whatever its label says.
const AdmittedLabel = v1alpha1.OwnLabelDomain + "/admitted-uid"

// Record is what an operator adopted: a Node that was there before Joinery, and
// what it was then. It is kept where no kubelet can write.
type Record struct {
	// UID of the Node. Another Node of the name is not adopted.
	UID string `json:"uid"`
	// ProviderID as the Node had it; empty for "no instance", as on premises.
	ProviderID string `json:"providerID,omitempty"`
	// InEC2 reports whether EC2 showed the instance of ProviderID then. If it did
	// and does no longer, the instance is gone; if it never did, as for an
	// instance of another account, its absence says nothing.
	InEC2 bool `json:"inEC2,omitempty"`
	// InstanceID is the instance that a Node without provider id was by its name,
	// as EC2 showed it then. It pins the Node as a provider id does.
	InstanceID string `json:"instanceID,omitempty"`
	// Addresses are the names and IP addresses that the Node had then. They are
	// what a Node without an instance may serve under, since EC2 cannot be asked.
	Addresses []string `json:"addresses,omitempty"`
}

// Matches reports whether the Node is still the one that was recorded:
//   - it has the recorded UID, and
//   - it has the recorded provider id, or it had none and now has that of the
//     instance that it was by its name, as cloud-controller-manager adds it.
func (r Record) Matches(n Node) bool {
	if r.UID != n.UID {
		return false
	}
	id, is := fleet.FromProviderID(n.ProviderID)
	return r.ProviderID == n.ProviderID || is && r.ProviderID == "" && r.InstanceID == id
}

// Instance returns the id of the recorded instance; empty for "no instance".
func (r Record) Instance() string {
	if id, ok := fleet.FromProviderID(r.ProviderID); ok {
		return id
	}
	return r.InstanceID
}

// Records are the adopted Nodes by name.
type Records map[string]Record
