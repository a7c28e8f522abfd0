package join_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/identity"
)

const token = "abcdef.0123456789abcdef"

func facts() identity.Facts {
	return identity.Facts{InstanceID: "i-0123456789abcdef0", Region: "us-west-2", Zone: "us-west-2a", PrivateIP: "10.99.0.12", InstanceType: "t3.medium"}
}

func node(t testing.TB, change func(*v1alpha1.NodeConfigSpec)) join.Node {
	t.Helper()
	c, err := v1alpha1.NodeConfigFor("demo")
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&c.Spec)
	}
	n, err := join.NewNode(facts(), c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func loaded(s *v1alpha1.NodeConfigSpec) {
	s.Labels = map[string]string{"z.example.com/b": "2", "example.com/pool": "a", "bare": "", "node-role.kubernetes.io/batch": "", "x.node-restriction.kubernetes.io/pci": ""}
	s.Taints = []corev1.Taint{{Key: "dedicated", Value: "x", Effect: corev1.TaintEffectNoSchedule}}
	s.Kubelet = v1alpha1.KubeletSettings{"maxPods": int64(32), "kubeReserved": map[string]any{"cpu": "100m"}}
	s.Kubeadm.IgnorePreflightErrors = []string{"SystemVerification"}
}

// authority is a cluster's CA.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// issue signs a certificate for a key; cn and hosts as given.
func (a *authority) issue(t testing.TB, cn string, public any, life time.Duration, hosts ...net.IP) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn, Organization: []string{"system:nodes"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life), IPAddresses: hosts,
	}, a.cert, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// sign answers a request as the cluster's signer does.
func (a *authority) sign(t testing.TB, r *certificatesv1.CertificateSigningRequest) []byte {
	t.Helper()
	block, _ := pem.Decode(r.Spec.Request)
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return a.issue(t, req.Subject.CommonName, req.PublicKey, time.Duration(*r.Spec.ExpirationSeconds)*time.Second)
}

// apiServer serves certificate signing requests over TLS and approves them all.
type apiServer struct {
	t    *testing.T
	ca   *authority
	addr string
	mu   sync.Mutex // guards all below
	// made holds the requests, auth the Authorization header of each call.
	made []*certificatesv1.CertificateSigningRequest
	auth []string
	// now is the server's clock; the machine's when nil.
	now func() time.Time
	// says is the condition that requests get instead of a certificate.
	says *certificatesv1.CertificateSigningRequestCondition
}

func newAPIServer(t *testing.T, ca *authority) *apiServer {
	s := &apiServer{t: t, ca: ca}
	srv := httptest.NewUnstartedServer(s)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(ca.issue(t, "kube-apiserver", key.Public(), time.Hour, net.IPv4(127, 0, 0, 1)))
	srv.TLS = tlsConfig(block.Bytes, key)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s.addr = srv.Listener.Addr().String()
	return s
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auth = append(s.auth, r.Header.Get("Authorization"))
	w.Header().Set("Content-Type", "application/json")
	if s.now != nil {
		w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	}
	switch {
	case r.URL.Path == "/version":
		s.write(w, map[string]any{"gitVersion": "v1.37.2"})
	case r.Method == http.MethodPost:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			s.t.Error(err)
		}
		obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		csr := obj.(*certificatesv1.CertificateSigningRequest)
		csr.Name, csr.ResourceVersion = csr.GenerateName+"x", "1"
		csr.TypeMeta = metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest"}
		s.made = append(s.made, csr)
		s.write(w, csr)
	case r.URL.Query().Get("watch") != "":
		csr := s.made[len(s.made)-1].DeepCopy()
		if s.says != nil {
			csr.Status.Conditions = append(csr.Status.Conditions, *s.says)
		} else {
			csr.Status.Certificate = s.ca.sign(s.t, csr)
		}
		s.write(w, map[string]any{"type": "MODIFIED", "object": csr})
	default:
		s.t.Errorf("unexpected %s %s", r.Method, r.URL)
	}
}

func (s *apiServer) write(w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}

func (s *apiServer) bundle() *v1alpha1.JoinBundle {
	return &v1alpha1.JoinBundle{
		Cluster: "demo", Endpoint: s.addr, CACert: s.ca.pem, Token: token,
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), KubernetesVersion: "v1.37.2",
	}
}

// units records what is asked of systemd.
type units struct {
	mu    sync.Mutex
	calls []string
	fail  error
}

func (u *units) note(call string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls = append(u.calls, call)
	return u.fail
}
func (u *units) Start(_ context.Context, unit string) error   { return u.note("start " + unit) }
func (u *units) Stop(_ context.Context, unit string) error    { return u.note("stop " + unit) }
func (u *units) Enable(_ context.Context, unit string) error  { return u.note("enable " + unit) }
func (u *units) Disable(_ context.Context, unit string) error { return u.note("disable " + unit) }

// paths returns a machine's paths below a directory of the test.
func paths(t testing.TB) join.Paths {
	t.Helper()
	root := t.TempDir()
	p := join.Paths{
		Kubernetes: filepath.Join(root, "etc/kubernetes"), Kubelet: filepath.Join(root, "var/lib/kubelet"),
		Run: filepath.Join(root, "run/joinery"), Kubeadm: filepath.Join(root, "kubeadm"), IPForward: filepath.Join(root, "ip_forward"),
	}
	write(t, p.IPForward, "1\n")
	return p
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// filesWith returns the files below the root that hold text.
func filesWith(t testing.TB, root, text string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), text) {
			found = append(found, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}
