package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// STSProofAnnotation is the annotation of a certificate signing request that
// holds the requester's proof of being an EC2 instance: the URL of a presigned
// STS GetCallerIdentity request whose signature covers the headers of
// ProofHeaders. A reader of the text can learn the instance's role and id, and
// nothing else; it is worth a certificate for the one key that is in the
// request, in the one cluster that it names.
const STSProofAnnotation = "joinery.dev/sts-proof"

// Headers that are signed into a proof, as net/http and SigV4 spell them.
const (
	// ProofClusterHeader names the cluster that is to be joined.
	ProofClusterHeader = "x-joinery-cluster"
	// ProofRequestHeader is the SHA-256 sum of the certificate request.
	ProofRequestHeader = "x-joinery-request-sha256"
)

// MaxProofAge is how long before its signing request a proof may have been
// made, and how long after, clocks being what they are. STS itself honours a
// signature for 15 minutes and takes no account of X-Amz-Expires.
const MaxProofAge = 2 * time.Minute

// MaxProofBytes bounds a proof; an honest one has about 2 KB, most of it the
// session token of the role that signed it.
const MaxProofBytes = 8 << 10

// ProofHeaders returns the headers that bind a proof to a cluster and to the
// certificate request, spec.request as the API server stores it. The agent signs
// them and the verifier sends them to STS as computed by itself, so that neither
// can be exchanged afterwards.
func ProofHeaders(cluster string, request []byte) map[string]string {
	sum := sha256.Sum256(request)
	return map[string]string{ProofClusterHeader: cluster, ProofRequestHeader: hex.EncodeToString(sum[:])}
}

// ProofKind is by which of its roles an instance proves what it is.
type ProofKind string

// The kinds, and the setting that allows both.
const (
	// ProofInstanceIdentity is a proof by the instance identity role, which EC2
	// gives every instance. It has no trust policy, so no one can assume it.
	ProofInstanceIdentity ProofKind = "instanceIdentity"
	// ProofNodeRole is a proof by the role of the instance profile. Every
	// principal that may assume that role can make it for any instance.
	ProofNodeRole ProofKind = "nodeRole"
	// ProofAny accepts both kinds. It is for the time in which images boot whose
	// agents make proofs of the kind nodeRole only. An image of which an instance
	// joined by its instance identity is held to that kind from then on.
	ProofAny ProofKind = "any"
)

// Accepts reports whether a proof of a kind is good.
//   - instanceIdentity: unless Proof is nodeRole.
//   - nodeRole: unless Proof is instanceIdentity, or NodeRoles is empty.
func (a ApproverSettings) Accepts(k ProofKind) bool {
	switch k {
	case ProofInstanceIdentity:
		return a.Proof != ProofNodeRole
	case ProofNodeRole:
		return a.Proof != ProofInstanceIdentity && len(a.NodeRoles) > 0
	}
	return false
}

// ProofMode is what the approver makes of proofs.
type ProofMode string

// The modes.
const (
	// ProofOff ignores proofs: a request is judged by what EC2 says about the
	// instance that it names.
	ProofOff ProofMode = "off"
	// ProofAccept judges a request without a proof in the same way, and denies
	// one whose proof is false. It is for the time in which agents of both kinds
	// boot.
	ProofAccept ProofMode = "accept"
	// ProofRequire denies every request that is not proven, so that a token alone
	// is worth nothing.
	ProofRequire ProofMode = "require"
)

// UnmarshalJSON takes false for off: YAML 1.1, which operators write, reads the
// bare word off as a boolean.
func (m *ProofMode) UnmarshalJSON(data []byte) error {
	if string(data) == "false" {
		*m = ProofOff
		return nil
	}
	return json.Unmarshal(data, (*string)(m))
}
