package csr

import (
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/instances"
)

// Policy is what holds for every request.
type Policy struct {
	// Cluster, Region and VPC that a node must be of.
	Cluster, Region, VPC string
	// Mode is how nodes are named.
	Mode v1alpha1.NodeNameMode
	// Proof is what is made of proofs of identity.
	Proof v1alpha1.ProofMode
	// ServingDisabled leaves requests for serving certificates to others.
	ServingDisabled bool
	// LaunchWindow is how long after its launch an instance may ask.
	LaunchWindow time.Duration
	// Visible is how long AWS may take to show a new instance and its tags;
	// until then what is missing is awaited and not denied.
	Visible time.Duration
	// MaxGrants bounds the certificates for one launch. One would strand a
	// node whose first join failed; no bound would reopen theft.
	MaxGrants int
	// MaxHeld bounds the requests of token holders that are held, and with them
	// the questions to AWS: a thief can make any number of requests for instances
	// that do not show. Beyond it requests wait unjudged.
	MaxHeld int
	// MaxHeldByNode is the same for the requests of one node, so that a node that
	// floods delays no other.
	MaxHeldByNode int
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
	// Instance is what EC2 says about that one; nil when it does not know it, or
	// not yet.
	Instance *instances.Instance
}

// gone says that EC2 confirmed the Node's instance to be gone.
func (n Node) gone() bool { return n.Instance != nil && n.Instance.Going() }

// unknown says that EC2 does not know the instance that the Node names.
func (n Node) unknown() bool { return n.InstanceID != "" && n.Instance == nil }

// stale says that nothing can live behind the Node while another instance is
// known to have its name.
func (n Node) stale() bool { return n.gone() || (n.unknown() && !n.Ready) }

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
	// Proof is what became of the request's proof of identity.
	Proof Proof
	// ShortLived says that the requester authenticated with one of the
	// certificates that are given to tokens, not with a kubelet's own.
	ShortLived bool
}

// Proof is what became of a proof of identity: at most one field is set.
type Proof struct {
	// Identity is who signed it, if it is good.
	Identity *attest.Identity
	// False is why it proves nothing.
	False *attest.FalseError
}
