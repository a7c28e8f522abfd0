package v1alpha1

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// KindJoinBundle is the kind of a JoinBundle document.
const KindJoinBundle = "JoinBundle"

const (
	// MaxBundleBytes is what a standard SSM parameter holds.
	MaxBundleBytes = 4096
	// MinBundleLife is how much life a token must have left for a join to
	// start with it.
	MinBundleLife = 5 * time.Minute
)

// JoinBundle is what the masters publish in SSM for instances that boot:
// everything that a node needs to ask for a certificate, and a token that is
// worth a request and no identity.
type JoinBundle struct {
	TypeMeta `json:",inline"`
	// Cluster that the bundle is for.
	Cluster string `json:"cluster"`
	// Endpoint of the API server, host:port.
	Endpoint string `json:"endpoint"`
	// CACert is the cluster's CA, one or more PEM certificates. Nodes trust
	// these and nothing else.
	CACert string `json:"caCert"`
	// Token is a bootstrap token, <id>.<secret>.
	Token Secret `json:"token"`
	// IssuedAt is when the token was made.
	IssuedAt time.Time `json:"issuedAt"`
	// ExpiresAt is when the token stops to work.
	ExpiresAt time.Time `json:"expiresAt"`
	// KubernetesVersion of the control plane, such as v1.37.2.
	KubernetesVersion string `json:"kubernetesVersion"`
}

// DecodeJoinBundle reads a JoinBundle. Errors are *InvalidError and
// *VersionError; neither shows the token. Whether the bundle may be used now
// and here is Usable's question.
func DecodeJoinBundle(data []byte) (*JoinBundle, error) {
	b := &JoinBundle{}
	if err := decode(data, KindJoinBundle, b); err != nil {
		return nil, err
	}
	return b, nil
}

// Encode returns the bundle with its token in clear, to be put into SSM as a
// SecureString and nowhere else. A bundle that DecodeJoinBundle would refuse,
// or that is longer than MaxBundleBytes, is an error: *InvalidError or
// *BundleSizeError.
func (b *JoinBundle) Encode() ([]byte, error) {
	c := *b
	c.APIVersion, c.Kind = GroupVersion, KindJoinBundle
	if err := c.validate().err(KindJoinBundle); err != nil {
		return nil, err
	}
	type clear struct {
		JoinBundle
		Token string `json:"token"`
	}
	data, err := json.Marshal(clear{JoinBundle: c, Token: b.Token.Reveal()})
	if err != nil {
		return nil, fmt.Errorf("encode join bundle: %w", err)
	}
	if len(data) > MaxBundleBytes {
		return nil, &BundleSizeError{Bytes: len(data), CABytes: len(b.CACert), CACerts: strings.Count(b.CACert, "-----BEGIN ")}
	}
	return data, nil
}

// BundleSizeError says that a bundle does not fit into a standard SSM
// parameter. The only part of it that grows is the CA.
type BundleSizeError struct {
	// Bytes of the encoded bundle, of which MaxBundleBytes are allowed.
	Bytes int
	// CABytes are those of caCert, in PEM, and CACerts how many certificates
	// it holds.
	CABytes, CACerts int
}

// Error names the sizes and what makes them.
func (e *BundleSizeError) Error() string {
	return fmt.Sprintf("join bundle: %d bytes: SSM holds at most %d: caCert has %d certificates in %d bytes: expected fewer or smaller ones",
		e.Bytes, MaxBundleBytes, e.CACerts, e.CABytes)
}

// TokenID returns the public half of the token, which names its Secret.
func (b *JoinBundle) TokenID() string {
	id, _, _ := strings.Cut(b.Token.Reveal(), ".")
	return id
}

// OtherClusterError says that a bundle is of another cluster than asked for.
type OtherClusterError struct{ Want, Got string }

// Error names both clusters.
func (e *OtherClusterError) Error() string {
	return fmt.Sprintf("cluster: %q: expected %q: this is another cluster's join bundle", e.Got, e.Want)
}

// ExpiredError says that a bundle's token has too little life left. It is
// cured by waiting: the masters publish a new one.
type ExpiredError struct{ ExpiresAt, Now time.Time }

// Error says how much life is left.
func (e *ExpiredError) Error() string {
	left := e.ExpiresAt.Sub(e.Now).Round(time.Second)
	return fmt.Sprintf("expiresAt: %q: %s left: expected at least %s", e.ExpiresAt.Format(time.RFC3339), left, MinBundleLife)
}

// Usable says why a node of cluster may not join with the bundle at now, or
// nil. Errors are *OtherClusterError and *ExpiredError.
func (b *JoinBundle) Usable(cluster string, now time.Time) error {
	if b.Cluster != cluster {
		return &OtherClusterError{Want: cluster, Got: b.Cluster}
	}
	if b.ExpiresAt.Sub(now) < MinBundleLife {
		return &ExpiredError{ExpiresAt: b.ExpiresAt, Now: now}
	}
	return nil
}

func (b *JoinBundle) setDefaults() {}

// bootstrapToken is the form of a bootstrap token (Kubernetes: "Authenticating
// with Bootstrap Tokens").
var (
	bootstrapToken = regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)
	kubeVersion    = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-+][0-9A-Za-z.+-]+)?$`)
)

func (b *JoinBundle) validate() problems {
	var p problems
	p.cluster("cluster", b.Cluster)
	p.endpoint("endpoint", b.Endpoint)
	if err := checkCA(b.CACert); err != nil {
		p.add("caCert", "", "%v: expected PEM CA certificates", err)
	}
	if !bootstrapToken.MatchString(b.Token.Reveal()) {
		p.add("token", "", "expected a bootstrap token, 6 and 16 lower-case letters or digits with a dot between")
	}
	if b.IssuedAt.IsZero() {
		p.add("issuedAt", "", "required: expected an RFC 3339 time")
	}
	if !b.ExpiresAt.After(b.IssuedAt) {
		p.add("expiresAt", b.ExpiresAt.Format(time.RFC3339), "expected an RFC 3339 time after issuedAt")
	}
	if !kubeVersion.MatchString(b.KubernetesVersion) {
		p.add("kubernetesVersion", b.KubernetesVersion, "expected a version such as v1.37.2")
	}
	return p
}

func (p *problems) endpoint(field, v string) {
	host, port, err := net.SplitHostPort(v)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || n == 0 || !validHost(host) {
		p.add(field, v, "expected host:port of the API server")
	}
}

func validHost(h string) bool {
	return net.ParseIP(h) != nil || len(validation.IsDNS1123Subdomain(h)) == 0
}

// checkCA accepts what may be pinned: at least one certificate, all of them CAs.
func checkCA(text string) error {
	rest := []byte(strings.TrimSpace(text))
	if len(rest) == 0 {
		return errors.New("required")
	}
	for len(rest) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return errors.New("not PEM")
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("holds a PEM block of type %q", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return errors.New("holds a malformed certificate")
		}
		if !cert.IsCA {
			return fmt.Errorf("holds a certificate that is no CA (%s)", cert.Subject)
		}
	}
	return nil
}
