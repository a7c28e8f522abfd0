// Package csr decides about the certificates that agents ask for. A bootstrap
// token is worth a request and nothing more: whether the request comes from the
// instance that it names is decided here, by what EC2 and Auto Scaling say.
// Decide is pure; Approver resolves the facts and executes the verdict.
//
// Only requests of holders of our own tokens for kubelet client certificates
// are judged. Everybody else's are left to whoever is in charge of them.
package csr

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/instances"
)

const (
	// requesterPrefix is how Kubernetes names the user of a bootstrap token.
	requesterPrefix = "system:bootstrap:"
	nodePrefix      = "system:node:"
	nodesGroup      = "system:nodes"
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
	// Problem is why no facts could save it; nil for a well-formed request.
	Problem *Verdict
}

// Ours says whether the request is ours to judge: still open, for a kubelet's
// client certificate, by the holder of one of our tokens.
func Ours(c *certificatesv1.CertificateSigningRequest) bool {
	return c.Spec.SignerName == certificatesv1.KubeAPIServerClientKubeletSignerName &&
		strings.HasPrefix(c.Spec.Username, requesterPrefix) &&
		slices.Contains(c.Spec.Groups, v1alpha1.BootstrapGroup) &&
		!decided(c)
}

func decided(c *certificatesv1.CertificateSigningRequest) bool {
	return len(c.Status.Certificate) > 0 || slices.ContainsFunc(c.Status.Conditions, func(k certificatesv1.CertificateSigningRequestCondition) bool {
		return k.Type == certificatesv1.CertificateApproved || k.Type == certificatesv1.CertificateDenied || k.Type == certificatesv1.CertificateFailed
	})
}

// Parse reads a request that is Ours. What is wrong with it stands in Problem.
func Parse(c *certificatesv1.CertificateSigningRequest) Request {
	r := Request{Name: c.Name, UID: string(c.UID), Created: c.CreationTimestamp.Time, Requester: c.Spec.Username}
	req, err := parsePEM(c.Spec.Request)
	if err != nil {
		r.Problem = deny(Malformed, "%v", err)
		return r
	}
	r.Node = strings.TrimPrefix(req.Subject.CommonName, nodePrefix)
	sum := sha256.Sum256(req.RawSubjectPublicKeyInfo)
	r.Key = base64.RawStdEncoding.EncodeToString(sum[:16])
	for _, check := range []func(*x509.CertificateRequest) *Verdict{checkKey, checkSubject, checkExtras} {
		if r.Problem = check(req); r.Problem != nil {
			return r
		}
	}
	r.Problem = checkSpec(c.Spec)
	return r
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
	if !slices.Equal(req.Subject.Organization, []string{nodesGroup}) {
		return deny(WrongSubject, "organization %q: expected %s alone", req.Subject.Organization, nodesGroup)
	}
	if !strings.HasPrefix(req.Subject.CommonName, nodePrefix) || len(req.Subject.Names) != 2 {
		return deny(WrongSubject, "subject %q: expected CN=%s<node> and O=%s", req.Subject, nodePrefix, nodesGroup)
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

func checkSpec(s certificatesv1.CertificateSigningRequestSpec) *Verdict {
	usages := slices.Sorted(slices.Values(s.Usages))
	full := []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth, certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment}
	if !slices.Equal(usages, full) && !slices.Equal(usages, full[:2]) {
		return deny(WrongUsages, "usages %q: expected %q, with or without %q", s.Usages, full[:2], full[2])
	}
	if s.ExpirationSeconds == nil || time.Duration(*s.ExpirationSeconds)*time.Second > maxCertificateLife {
		return deny(LongLived, "expected expirationSeconds of at most %d", int(maxCertificateLife.Seconds()))
	}
	return nil
}

// Lookup is how EC2 is asked for the instance behind a node name: by one of the
// two fields.
type Lookup struct {
	PrivateIP  netip.Addr
	InstanceID string
}

var ipName = regexp.MustCompile(`^ip-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})\.`)

// LookupFor reads out of name what to look for. It proves nothing: the name is
// computed again from what EC2 says about what was found.
func LookupFor(name string, mode v1alpha1.NodeNameMode) (Lookup, bool) {
	if mode == v1alpha1.IPName {
		m := ipName.FindStringSubmatch(name)
		if m == nil {
			return Lookup{}, false
		}
		addr, err := netip.ParseAddr(strings.Join(m[1:], "."))
		return Lookup{PrivateIP: addr}, err == nil
	}
	id, _, _ := strings.Cut(name, ".")
	return Lookup{InstanceID: id}, instances.ValidID(id)
}
