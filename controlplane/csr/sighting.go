package csr

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/internal/kube"
)

// sighting is all that is kept of a signing request, some hundred bytes: not the
// certificate request, not the proof, no annotation of anyone. The request is
// read again when it is judged.
type sighting struct {
	// ObjectMeta has the name, the UID, the resource version and the time of
	// creation.
	metav1.ObjectMeta
	signer, requester string
	kind              Kind
	// node is the name that a holder of a token claims; empty when the request
	// does not parse, or comes from a node.
	node string
	// asked: the node was told to ask again, by another request.
	asked bool
	// credential identifies the certificate that the holder of a token was issued,
	// as the API server does; empty for none.
	credential string
}

// sight reads what is kept of a request.
func sight(c *certificatesv1.CertificateSigningRequest) *sighting {
	s := &sighting{
		ObjectMeta: metav1.ObjectMeta{Name: c.Name, UID: c.UID, ResourceVersion: c.ResourceVersion, CreationTimestamp: c.CreationTimestamp},
		signer:     c.Spec.SignerName, requester: c.Spec.Username, kind: KindOf(c), asked: askedAgain(c) != nil,
	}
	if strings.HasPrefix(s.requester, kube.BootstrapUserPrefix) {
		s.credential = issued(c.Status.Certificate)
	}
	if s.kind == Bootstrap {
		s.node = claimed(c.Spec.Request)
	}
	return s
}

// issued is what the API server calls a client certificate, PEM; empty for none.
func issued(certificate []byte) string {
	block, _ := pem.Decode(certificate)
	if block == nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return "X509SHA256=" + hex.EncodeToString(sum[:])
}

// claimed is the node name that a certificate request asks for, unchecked; empty
// when it names none.
func claimed(text []byte) string {
	if len(text) > maxRequestBytes {
		return ""
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return ""
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return ""
	}
	name, found := strings.CutPrefix(req.Subject.CommonName, kube.NodeUserPrefix)
	if !found {
		return ""
	}
	return strings.Clone(name) // not the whole request with it
}

// stub is the request as Events regard it.
func (w waiting) stub() *certificatesv1.CertificateSigningRequest {
	c := &certificatesv1.CertificateSigningRequest{}
	c.Name, c.UID = w.name, w.uid
	return c
}

// lane returns where a request waits: with all that claim the same instance's name,
// or with all of the same requester when it claims none that an instance can have.
func (a *Approver) lane(s *sighting) laneKey {
	if s.kind == Bootstrap {
		if _, possible := identity.LookupFor(s.node, a.policy.Region, a.policy.Mode); possible {
			return laneKey{claim: s.node}
		}
	}
	return laneKey{requester: s.requester}
}
