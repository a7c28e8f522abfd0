package apiserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/controlplane/apiserver"
	"github.com/joinery/joinery/controlplane/credential"
	"github.com/joinery/joinery/controlplane/health"
)

// cluster is an API server that knows clients by the certificates of its CA, and
// tells by which one it was asked.
type cluster struct {
	*httptest.Server
	request credential.Request
	serials chan string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certText, keyText := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: plain})
	own, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(own.Leaf)
	c := &cluster{serials: make(chan string, 100)}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.serials <- r.TLS.PeerCertificates[0].SerialNumber.String()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"joinery-controller"}}`)
	}))
	c.Config.ErrorLog = log.New(io.Discard, "", 0) // connections are cut on purpose
	c.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	c.StartTLS()
	t.Cleanup(c.Close)
	c.request = credential.Request{CACert: filepath.Join(dir, "ca.crt"), CAKey: filepath.Join(dir, "ca.key"), Server: c.URL,
		Dir: filepath.Join(dir, "private", "controller"), Life: 24 * time.Hour}
	for file, text := range map[string][]byte{c.request.CACert: certText, c.request.CAKey: keyText} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *cluster) renew(t *testing.T) {
	t.Helper()
	if _, renewed, err := credential.Renew(c.request); err != nil || !renewed {
		t.Fatalf("renewed %t, %v", renewed, err)
	}
}

// The process lives on through the renewal and through the loss of its
// certificate. While it is lost, new connections fail and readiness says why; it
// comes back automatically.
func TestTheCertificateIsRenewedAndLostWithoutARestart(t *testing.T) {
	c := newCluster(t)
	c.renew(t)
	api, err := apiserver.Connect(filepath.Join(c.request.Dir, credential.Kubeconfig), "test")
	if err != nil {
		t.Fatal(err)
	}
	lease := func() error {
		c.CloseClientConnections() // as a load balancer or a restarted API server does
		_, err := api.Lease.CoordinationV1().Leases("kube-system").Get(t.Context(), "joinery-controller", metav1.GetOptions{})
		return err
	}
	ready := func() (string, error) { return api.Certificate.Check().Look(t.Context()) }
	if err := lease(); err != nil {
		t.Fatal(err)
	}
	first := <-c.serials
	// Renewed.
	c.request.Life = 49 * time.Hour
	c.renew(t)
	within(t, "the new certificate is used", func() bool { return lease() == nil && <-c.serials != first })
	if found, err := ready(); err != nil || !strings.HasPrefix(found, "until ") {
		t.Errorf("%q, %v", found, err)
	}
	if at := expiry(t, api.Certificate); time.Until(at) < 48*time.Hour {
		t.Errorf("the metric says %s", at)
	}
	// Lost.
	if err := os.Remove(filepath.Join(c.request.Dir, credential.Client)); err != nil {
		t.Fatal(err)
	}
	within(t, "requests fail", func() bool { return lease() != nil })
	if _, err := ready(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "read client certificate") {
		t.Errorf("without a certificate: %v", err)
	}
	if at := expiry(t, api.Certificate); at.Unix() != 0 {
		t.Errorf("the metric says %s", at)
	}
	for len(c.serials) > 0 {
		<-c.serials
	}
	// Back.
	c.renew(t)
	within(t, "requests work again", func() bool { return lease() == nil })
	if _, err := ready(); err != nil {
		t.Error(err)
	}
}

// within waits for what client-go does at its own time: it reads a certificate
// again after a second.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for tries := 0; !ok(); tries++ {
		if tries == 1200 {
			t.Fatalf("after %d tries: %s is not so", tries, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func expiry(t *testing.T, c apiserver.Certificate) time.Time {
	t.Helper()
	reg := prometheus.NewRegistry()
	c.Register(reg)
	all, err := reg.Gather()
	if err != nil || len(all) != 1 || all[0].GetName() != "joinery_client_certificate_expiry_timestamp_seconds" {
		t.Fatalf("%v, %v", all, err)
	}
	return time.Unix(int64(all[0].GetMetric()[0].GetGauge().GetValue()), 0)
}

// A process that starts before its certificate is there says which file it lacks;
// its unit starts it again.
func TestAMissingCertificateIsNamed(t *testing.T) {
	c := newCluster(t)
	c.renew(t)
	file := filepath.Join(c.request.Dir, credential.Client)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(c.request.Dir, credential.Kubeconfig)
	if _, err := apiserver.Connect(kubeconfig, "test"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	certificate, err := apiserver.CertificateOf(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	monitor := health.NewMonitor(certificate.Check())
	monitor.Look(t.Context())
	monitor.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), "client-certificate: read client certificate") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
