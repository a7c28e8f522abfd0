package csr_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/csr"
)

const nodeName = "ip-10-99-0-12.us-west-2.compute.internal"

var launch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newKey(t testing.TB) any {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func template() *x509.CertificateRequest {
	return &x509.CertificateRequest{Subject: pkix.Name{Organization: []string{"system:nodes"}, CommonName: "system:node:" + nodeName}}
}

func encode(t testing.TB, tmpl *x509.CertificateRequest, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// agentRequest is the request that an agent makes 20 s after its launch.
func agentRequest(t testing.TB, text []byte) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	expiration := int32(600)
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "joinery-x", UID: "u", CreationTimestamp: metav1.NewTime(launch.Add(20 * time.Second))},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: text, SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName, ExpirationSeconds: &expiration,
			Usages:   []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
			Username: "system:bootstrap:abcdef", Groups: []string{"system:bootstrappers", v1alpha1.BootstrapGroup, "system:authenticated"},
		},
	}
}

func TestKindOf(t *testing.T) {
	type request = certificatesv1.CertificateSigningRequest
	node := func(c *request) {
		c.Spec.Username, c.Spec.Groups = "system:node:"+nodeName, []string{"system:nodes", "system:authenticated"}
	}
	serving := func(c *request) { c.Spec.SignerName = certificatesv1.KubeletServingSignerName }
	for _, test := range []struct {
		name   string
		change func(*request)
		want   csr.Kind
	}{
		{"agent's", func(*request) {}, csr.Bootstrap},
		{"old user data's", func(c *request) {
			c.Spec.Groups = []string{"system:bootstrappers", v1alpha1.LegacyBootstrapGroup}
		}, csr.Bootstrap},
		{"kubelet's own", node, csr.Renewal},
		{"kubelet's serving", func(c *request) { node(c); serving(c) }, csr.Serving},
		{"serving with a token", serving, csr.Serving},
		{"client signer", func(c *request) { c.Spec.SignerName = certificatesv1.KubeAPIServerClientSignerName }, ""},
		{"kubeadm's token", func(c *request) {
			c.Spec.Groups = []string{"system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"}
		}, ""},
		{"our group, another kind of user", func(c *request) { c.Spec.Username = "mallory" }, ""},
		{"a node's name without its group", func(c *request) { node(c); c.Spec.Groups = []string{"system:authenticated"} }, ""},
		{"approved", func(c *request) {
			c.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved}}
		}, ""},
		{"denied", func(c *request) {
			c.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied}}
		}, ""},
		{"issued", func(c *request) { c.Status.Certificate = []byte("x") }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := agentRequest(t, nil)
			test.change(c)
			if got := csr.KindOf(c); got != test.want {
				t.Errorf("got %q: expected %q", got, test.want)
			}
		})
	}
}

func TestParseProblems(t *testing.T) {
	key := newKey(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject := func(n pkix.Name) []byte { return encode(t, &x509.CertificateRequest{Subject: n}, key) }
	with := func(change func(*x509.CertificateRequest)) []byte {
		r := template()
		change(r)
		return encode(t, r, key)
	}
	cn := "system:node:" + nodeName
	good := encode(t, template(), key)
	broken := []byte(strings.Replace(string(good), "-----END", "AAAA\n-----END", 1))
	for _, test := range []struct {
		name string
		text []byte
		want csr.Reason
	}{
		{"empty", nil, csr.Malformed},
		{"not PEM", []byte("hello"), csr.Malformed},
		{"a certificate", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), csr.Malformed},
		{"two", append(append([]byte{}, good...), good...), csr.Malformed},
		{"trailing bytes", broken, csr.Malformed},
		{"huge", []byte(strings.Replace(string(good), "REQUEST-----\n", "REQUEST-----\nPadding: "+strings.Repeat("x", 5<<10)+"\n\n", 1)), csr.Malformed},
		{"RSA 1024", encode(t, template(), small), csr.WeakKey},
		{"P-224", encode(t, template(), p224), csr.WeakKey},
		{"masters", subject(pkix.Name{Organization: []string{"system:masters"}, CommonName: cn}), csr.WrongSubject},
		{"nodes and masters", subject(pkix.Name{Organization: []string{"system:nodes", "system:masters"}, CommonName: cn}), csr.WrongSubject},
		{"no organization", subject(pkix.Name{CommonName: cn}), csr.WrongSubject},
		{"no node", subject(pkix.Name{Organization: []string{"system:nodes"}, CommonName: "kubernetes-admin"}), csr.WrongSubject},
		{"more in the subject", subject(pkix.Name{Organization: []string{"system:nodes"}, OrganizationalUnit: []string{"x"}, CommonName: cn}), csr.WrongSubject},
		{"DNS", with(func(r *x509.CertificateRequest) { r.DNSNames = []string{"kubernetes.default"} }), csr.HasSANs},
		{"IP", with(func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }), csr.HasSANs},
		{"mail", with(func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@b"} }), csr.HasSANs},
		{"URI", with(func(r *x509.CertificateRequest) { r.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }), csr.HasSANs},
		{"extension", with(func(r *x509.CertificateRequest) {
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 3, 1, 1, 0xff}}}
		}), csr.HasSANs},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := csr.Parse(agentRequest(t, test.text))
			if r.Problem == nil || r.Problem.Action != csr.Deny || r.Problem.Reason != test.want || r.Problem.Message == "" {
				t.Errorf("got %+v: expected a denial for %s", r.Problem, test.want)
			}
		})
	}
}

// What kubelets may use, and everything better.
func TestKeysThatAreStrongEnough(t *testing.T) {
	plain, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"RSA 2048": plain, "P-256": newKey(t), "P-384": p384} {
		if r := csr.Parse(agentRequest(t, encode(t, template(), key))); r.Problem != nil {
			t.Errorf("%s: %+v", name, r.Problem)
		}
	}
}

func TestParseSpecProblems(t *testing.T) {
	good := encode(t, template(), newKey(t))
	long := int32(7200)
	for _, test := range []struct {
		name   string
		change func(*certificatesv1.CertificateSigningRequestSpec)
		want   csr.Reason
	}{
		{"as made", func(*certificatesv1.CertificateSigningRequestSpec) {}, ""},
		{"with key encipherment", func(s *certificatesv1.CertificateSigningRequestSpec) {
			s.Usages = append(s.Usages, certificatesv1.UsageKeyEncipherment)
		}, ""},
		{"server auth", func(s *certificatesv1.CertificateSigningRequestSpec) {
			s.Usages = append(s.Usages, certificatesv1.UsageServerAuth)
		}, csr.WrongUsages},
		{"cert sign", func(s *certificatesv1.CertificateSigningRequestSpec) {
			s.Usages = append(s.Usages, certificatesv1.UsageCertSign)
		}, csr.WrongUsages},
		{"client auth alone", func(s *certificatesv1.CertificateSigningRequestSpec) { s.Usages = s.Usages[1:] }, csr.WrongUsages},
		{"twice", func(s *certificatesv1.CertificateSigningRequestSpec) { s.Usages = append(s.Usages, s.Usages...) }, csr.WrongUsages},
		{"for a year", func(s *certificatesv1.CertificateSigningRequestSpec) { s.ExpirationSeconds = nil }, csr.LongLived},
		{"for two hours", func(s *certificatesv1.CertificateSigningRequestSpec) { s.ExpirationSeconds = &long }, csr.LongLived},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := agentRequest(t, good)
			test.change(&c.Spec)
			r := csr.Parse(c)
			if r.Node != nodeName || r.Key == "" {
				t.Errorf("node %q, key %q", r.Node, r.Key)
			}
			var got csr.Reason
			if r.Problem != nil {
				got = r.Problem.Reason
			}
			if got != test.want {
				t.Errorf("got %q: expected %q", got, test.want)
			}
		})
	}
}

// FuzzParse feeds what a token's holder may put into a request: whatever comes
// out without a problem must be exactly a kubelet's request.
func FuzzParse(f *testing.F) {
	key := newKey(f)
	f.Add(encode(f, template(), key))
	f.Add(encode(f, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:x"}, DNSNames: []string{"a"}}, key))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		r := csr.Parse(agentRequest(t, text))
		if r.Problem != nil {
			if r.Problem.Action != csr.Deny {
				t.Errorf("a malformed request is not denied: %+v", r.Problem)
			}
			return
		}
		block, _ := pem.Decode(text)
		req, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil || req.CheckSignature() != nil || req.Subject.CommonName != "system:node:"+r.Node || len(req.Extensions) > 0 {
			t.Errorf("accepted %q: %v", text, err)
		}
	})
}
