package csr

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/kube"
)

// Policy is what holds for every request.
type Policy struct {
	// Cluster, Region and VPC that a node must be of.
	Cluster, Region, VPC string
	// Mode is how nodes are named.
	Mode v1alpha1.NodeNameMode
	// Proof is what is made of proofs of identity.
	Proof v1alpha1.ProofMode
	// Kind is the kind of proof that is good; any when empty. The verifier refuses
	// the others.
	Kind v1alpha1.ProofKind
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
	// MaxRejoins bounds how often an instance that joined before may join again
	// within rejoinPeriod, because its Node was deleted.
	MaxRejoins int
	// JudgedPerMinute bounds the judgements about requests for one instance, and
	// those of one requester that are for none; JudgedAtOnce of them may come
	// together. They bound the calls to STS, EC2 and the API server that the holder
	// of a token can cause: a thief can make any number of requests.
	JudgedPerMinute, JudgedAtOnce int
}

// PolicyOf is the policy of a cluster's configuration.
func PolicyOf(s v1alpha1.ControllerSpec) Policy {
	return Policy{
		Cluster: s.Cluster, Region: s.Region, VPC: s.VPCID, Mode: s.Approver.NodeNameMode,
		Proof: s.Approver.STSProof, Kind: s.Approver.Proof, ServingDisabled: s.Approver.ServingDisabled,
		LaunchWindow: s.Approver.LaunchWindow.Duration, Visible: 2 * time.Minute,
		MaxGrants: 5, MaxRejoins: 5, JudgedPerMinute: 120, JudgedAtOnce: 20,
	}
}

// Rules are those by which a Node is bound to its instance.
func (p Policy) Rules() binding.Rules {
	return binding.Rules{Cluster: p.Cluster, Region: p.Region, VPC: p.VPC, Mode: p.Mode}
}

// clockSkew is how far the API server's clock may be behind EC2's.
const clockSkew = 10 * time.Second

// Node is what the API server says about the Node of the requested name.
type Node struct {
	UID string
	// Ready and ControlPlane are as the Node says.
	Ready, ControlPlane bool
	// Admitted reports whether this very Node came from an approved join: its
	// label binding.AdmittedLabel is its UID.
	Admitted bool
	// Record is what an operator recorded of this very Node; nil for a Node that
	// was not adopted, or that is no longer as it was recorded.
	Record *binding.Record
	// Binding is how the Node stands to the instances of EC2.
	Binding binding.Verdict
}

// NodeOf puts together what is known about a Node. v is how it stands, records
// are the adopted Nodes.
func NodeOf(n *corev1.Node, v binding.Verdict, records binding.Records) *Node {
	claims := binder.NodeOf(n)
	out := &Node{UID: claims.UID, Ready: kube.KubeletReady(n), ControlPlane: claims.ControlPlane, Admitted: admitted(n), Binding: v}
	if r, ok := records[n.Name]; ok && r.Matches(claims) {
		out.Record = &r
	}
	return out
}

// admitted reports whether the Node came from an approved join.
func admitted(n *corev1.Node) bool {
	return n.UID != "" && n.Labels[binding.AdmittedLabel] == string(n.UID)
}

// gone reports whether nothing can live behind the Node: its instance is
// terminated, or EC2 does not know it and the Node is not Ready.
func (n Node) gone() bool {
	unknown := n.Binding.Reason == binding.NoSuchInstance
	return n.Binding.Reason == binding.InstanceGone || unknown && !n.Ready
}

// Facts are what was found out about a request.
type Facts struct {
	// Candidates are the instances found for the name, of any VPC and state.
	Candidates []fleet.Instance
	// Groups has the Auto Scaling groups of the candidates, by name.
	Groups map[string]*fleet.Group
	// Node of the requested name; nil for none.
	Node *Node
	// Grants holds what was granted before, by instance id.
	Grants map[string]Grant
	// Proof is what became of the request's proof of identity.
	Proof Proof
	// Images are the machine images of which an instance joined by its instance
	// identity; read only for a proof that they decide about.
	Images map[string]time.Time
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
