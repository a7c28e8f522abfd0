// Package csr decides about the certificates of nodes: those that agents ask for
// to join, those that kubelets live with and renew, and those that they serve
// with. A bootstrap token is worth a request and nothing more, and a certificate
// is worth its renewal only while the instance behind it is alive: that is decided
// here, by what the instance proves and what EC2 and Auto Scaling say. Decide is
// pure; Approver resolves the facts and executes the verdict.
//
// Only requests of holders of our own tokens and of nodes, for the two kubelet
// signers, are judged. Everybody else's are left to whoever is in charge of them.
package csr

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/quote"
)

const (
	// maxCertificateLife bounds what is approved. Agents ask for ten minutes,
	// which is what the API server grants at least; a kubelet's own
	// certificate comes later, by its own request.
	maxCertificateLife = time.Hour
	// maxRequestBytes bounds what is parsed, and what of it is repeated in
	// messages; an honest request has about 1 KB.
	maxRequestBytes = 4 << 10
)

// Request is a signing request, read but not judged.
type Request struct {
	// Name of the CSR object, UID its UID.
	Name, UID string
	// Created is when it was created, by the API server's clock.
	Created time.Time
	// Requester is the user who created it, for logs.
	Requester string
	// Node is the name of the node that it is for; set even when Problem is,
	// if it could be read.
	Node string
	// Key identifies the public key.
	Key string
	// Kind is what is asked for.
	Kind Kind
	// Legacy says that the requester's token is one for old user data.
	Legacy bool
	// Proof is the proof of identity, as it stands in the annotation.
	Proof string
	// Text is the certificate request itself, which a proof is bound to.
	Text []byte
	// Life is how long the certificate will be good; for ever if it is not said.
	Life time.Duration
	// Credential identifies what the requester authenticated with; empty when the
	// API server does not say it (Kubernetes before 1.32, or a token).
	Credential string
	// DNSNames and IPs are what a serving certificate is asked for.
	DNSNames []string
	IPs      []netip.Addr
	// Problem is why no facts could save it; nil for a well-formed request.
	Problem *Verdict
}

// Kind is what a request asks for.
type Kind string

// The kinds.
const (
	// Bootstrap: the holder of one of our tokens asks for a node's identity.
	Bootstrap Kind = "Bootstrap"
	// Renewal: a node asks for a client certificate for itself.
	Renewal Kind = "Renewal"
	// Serving: a node asks for a serving certificate for itself.
	Serving Kind = "Serving"
)

// KindOf says what a request is that is ours to judge, and "" for every other: it
// is decided, or of another signer, or of somebody who is neither a holder of our
// tokens nor a node.
func KindOf(c *certificatesv1.CertificateSigningRequest) Kind {
	s := c.Spec
	if decided(c) {
		return ""
	}
	holder := strings.HasPrefix(s.Username, kube.BootstrapUserPrefix) &&
		(slices.Contains(s.Groups, v1alpha1.BootstrapGroup) || slices.Contains(s.Groups, v1alpha1.LegacyBootstrapGroup))
	node := strings.HasPrefix(s.Username, kube.NodeUserPrefix) && slices.Contains(s.Groups, kube.NodesGroup)
	switch {
	case s.SignerName == certificatesv1.KubeAPIServerClientKubeletSignerName && holder:
		return Bootstrap
	case s.SignerName == certificatesv1.KubeAPIServerClientKubeletSignerName && node:
		return Renewal
	case s.SignerName == certificatesv1.KubeletServingSignerName && (holder || node):
		return Serving
	}
	return ""
}

func decided(c *certificatesv1.CertificateSigningRequest) bool {
	return len(c.Status.Certificate) > 0 || slices.ContainsFunc(c.Status.Conditions, func(k certificatesv1.CertificateSigningRequestCondition) bool {
		return k.Type == certificatesv1.CertificateApproved || k.Type == certificatesv1.CertificateDenied || k.Type == certificatesv1.CertificateFailed
	})
}

// Parse reads a request that has a Kind. What is wrong with it stands in Problem.
func Parse(c *certificatesv1.CertificateSigningRequest) Request {
	r := Request{
		Name: c.Name, UID: string(c.UID), Created: c.CreationTimestamp.Time, Requester: c.Spec.Username, Kind: KindOf(c),
		Legacy: !slices.Contains(c.Spec.Groups, v1alpha1.BootstrapGroup), Proof: c.Annotations[v1alpha1.STSProofAnnotation],
		Text: c.Spec.Request, Life: life(c.Spec.ExpirationSeconds), Credential: credential(c.Spec.Extra),
	}
	req, err := parsePEM(c.Spec.Request)
	if err != nil {
		r.Problem = deny(Malformed, "%v", err)
		return r
	}
	r.Node = strings.TrimPrefix(req.Subject.CommonName, kube.NodeUserPrefix)
	sum := sha256.Sum256(req.RawSubjectPublicKeyInfo)
	r.Key = base64.RawStdEncoding.EncodeToString(sum[:16])
	r.DNSNames = req.DNSNames
	for _, ip := range req.IPAddresses {
		a, _ := netip.AddrFromSlice(ip) // what is no address is the zero one, which no instance has
		r.IPs = append(r.IPs, a.Unmap())
	}
	r.Problem = problem(r, req, c.Spec)
	return r
}

// problem is the first condition that the request itself does not fulfil.
func problem(r Request, req *x509.CertificateRequest, s certificatesv1.CertificateSigningRequestSpec) *Verdict {
	extras := checkExtras
	if r.Kind == Serving {
		extras = checkNames
	}
	for _, check := range []func(*x509.CertificateRequest) *Verdict{checkKey, checkSubject, extras} {
		if v := check(req); v != nil {
			return v
		}
	}
	if r.Kind != Bootstrap && r.Requester != kube.NodeUser(r.Node) {
		return deny(WrongRequester, "%s asks for a %s certificate of %s", quote.Name(r.Requester), r.Kind, quote.Name(r.Node))
	}
	return checkSpec(r, s)
}

// unlimited stands for the life of a certificate whose signer decides about it.
const unlimited = 10 * 365 * 24 * time.Hour

func life(seconds *int32) time.Duration {
	if seconds == nil {
		return unlimited
	}
	return time.Duration(*seconds) * time.Second
}

// credential is how the API server identifies a client certificate in the
// requester's extra fields (k8s.io/apiserver, authentication/user.CredentialIDKey).
func credential(extra map[string]certificatesv1.ExtraValue) string {
	for _, v := range extra[kube.CredentialIDExtra] {
		return v
	}
	return ""
}

func parsePEM(text []byte) (*x509.CertificateRequest, error) {
	if len(text) > maxRequestBytes {
		return nil, fmt.Errorf("request of %d bytes: expected at most %d", len(text), maxRequestBytes)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("request is not one PEM certificate request")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, errors.New("request does not parse")
	}
	if err := req.CheckSignature(); err != nil {
		return nil, errors.New("request is not signed by its own key")
	}
	return req, nil
}

func checkKey(req *x509.CertificateRequest) *Verdict {
	switch k := req.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize >= 256 {
			return nil
		}
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return nil
		}
	}
	return deny(WeakKey, "expected ECDSA P-256 or RSA 2048, or better")
}

func checkSubject(req *x509.CertificateRequest) *Verdict {
	if !slices.Equal(req.Subject.Organization, []string{kube.NodesGroup}) {
		return deny(WrongSubject, "organization %s: expected %s alone", quote.List(req.Subject.Organization), kube.NodesGroup)
	}
	if !strings.HasPrefix(req.Subject.CommonName, kube.NodeUserPrefix) || len(req.Subject.Names) != 2 {
		return deny(WrongSubject, "subject %s: expected CN=%s<node> and O=%s", quote.Text(req.Subject.String()), kube.NodeUserPrefix, kube.NodesGroup)
	}
	return nil
}

// checkExtras refuses every extension, subject alternative names first of all.
func checkExtras(req *x509.CertificateRequest) *Verdict {
	if len(req.DNSNames)+len(req.EmailAddresses)+len(req.IPAddresses)+len(req.URIs) > 0 {
		return deny(HasSANs, "expected no subject alternative names")
	}
	if len(req.Extensions)+len(req.ExtraExtensions) > 0 {
		return deny(HasSANs, "expected no extensions")
	}
	return nil
}

// subjectAltName is the one extension that a serving request may have (RFC 5280).
var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// checkNames wants names or addresses and nothing else.
func checkNames(req *x509.CertificateRequest) *Verdict {
	if len(req.DNSNames)+len(req.IPAddresses) == 0 {
		return deny(NoSANs, "expected names or addresses to serve under")
	}
	if len(req.EmailAddresses)+len(req.URIs) > 0 {
		return deny(ForeignNames, "expected names and addresses, no e-mail addresses or URIs")
	}
	for _, e := range slices.Concat(req.Extensions, req.ExtraExtensions) {
		if !e.Id.Equal(subjectAltName) {
			return deny(HasSANs, "expected no extension but subject alternative names")
		}
	}
	return nil
}

func checkSpec(r Request, s certificatesv1.CertificateSigningRequestSpec) *Verdict {
	purpose := certificatesv1.UsageClientAuth
	if r.Kind == Serving {
		purpose = certificatesv1.UsageServerAuth
	}
	usages := slices.Sorted(slices.Values(s.Usages))
	least := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, purpose}
	full := append(slices.Clone(least), certificatesv1.UsageKeyEncipherment)
	slices.Sort(least)
	slices.Sort(full)
	if !slices.Equal(usages, full) && !slices.Equal(usages, least) {
		return deny(WrongUsages, "usages %q: expected %q, with or without %q", s.Usages, least, certificatesv1.UsageKeyEncipherment)
	}
	// With an old user-data script the kubelet asks by itself, for its whole life.
	if r.Kind == Bootstrap && !r.Legacy && r.Life > maxCertificateLife {
		return deny(LongLived, "expected expirationSeconds of at most %d", int(maxCertificateLife.Seconds()))
	}
	return nil
}
