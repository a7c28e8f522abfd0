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
// ProofHeaders. Who holds the text can learn the instance's role and id, and
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
// session token of the instance's role.
const MaxProofBytes = 8 << 10

// ProofHeaders returns the headers that bind a proof to a cluster and to the
// certificate request, spec.request as the API server stores it. The agent signs
// them and the verifier sends them to STS as computed by itself, so that neither
// can be exchanged afterwards.
func ProofHeaders(cluster string, request []byte) map[string]string {
	sum := sha256.Sum256(request)
	return map[string]string{ProofClusterHeader: cluster, ProofRequestHeader: hex.EncodeToString(sum[:])}
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
