package credential_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/joinery/joinery/controlplane/credential"
)

// authority writes a CA and its key, and a kubeconfig of this node's API server.
func authority(t *testing.T, dir string) credential.Request {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	r := credential.Request{CACert: filepath.Join(dir, "ca.crt"), CAKey: filepath.Join(dir, "ca.key"), ServerFrom: filepath.Join(dir, "manager.conf"),
		Dir: filepath.Join(dir, "private", "controller"), Life: 24 * time.Hour}
	for file, text := range map[string][]byte{
		r.CACert:     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		r.CAKey:      pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: plain}),
		r.ServerFrom: []byte("{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: k, cluster: {server: 'https://10.0.0.7:6443'}}], contexts: [{name: c, context: {cluster: k}}]}"),
	} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestTheCertificateIsTheControllersAndShortLived(t *testing.T) {
	r := authority(t, t.TempDir())
	expires, renewed, err := credential.Renew(r)
	if err != nil || !renewed {
		t.Fatal(renewed, err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(r.Dir, credential.Kubeconfig))
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.0.0.7:6443" || config.CAFile != filepath.Join(r.Dir, credential.Authority) {
		t.Errorf("server %s, CA %s", config.Host, config.CAFile)
	}
	pair, err := tls.LoadX509KeyPair(config.CertFile, config.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	text, err := os.ReadFile(config.CAFile)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	c := pair.Leaf
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if c.Subject.CommonName != "joinery-controller" || len(c.Subject.Organization) > 0 || c.IsCA || len(c.ExtKeyUsage) != 1 {
		t.Errorf("certificate of %s, usages %v", c.Subject, c.ExtKeyUsage)
	}
	if life := c.NotAfter.Sub(c.NotBefore); life > 25*time.Hour || !c.NotAfter.Equal(expires) {
		t.Errorf("it lives %s, until %s: said %s", life, c.NotAfter, expires)
	}
	if i, err := os.Stat(filepath.Dir(r.Dir)); err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("who can enter %s can read the key: %v, %v", filepath.Dir(r.Dir), i.Mode(), err)
	}
}

// It stays for half of its life, and is replaced at once when it would not do.
func TestWhatWillNotDoIsReplaced(t *testing.T) {
	r := authority(t, t.TempDir())
	renew := func(why string, want bool) []byte {
		t.Helper()
		if _, renewed, err := credential.Renew(r); err != nil || renewed != want {
			t.Errorf("%s: renewed %t, %v", why, renewed, err)
		}
		text, err := os.ReadFile(filepath.Join(r.Dir, credential.Client))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := renew("none is there", true)
	if second := renew("it is good", false); string(second) != string(first) {
		t.Error("it was written although it is good")
	}
	r.Life = 49 * time.Hour
	renew("less than half is left", true)
	for why, text := range map[string]string{"empty": "", "no certificate": "x", "cut": string(first[:200]), "without its key": string(first[:strings.Index(string(first), "-----BEGIN EC")])} {
		if err := os.WriteFile(filepath.Join(r.Dir, credential.Client), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		renew(why, true)
	}
	other := authority(t, t.TempDir())
	r.CACert, r.CAKey = other.CACert, other.CAKey
	renew("of another CA", true)
}

func TestKeyOfAnotherCAIsAnError(t *testing.T) {
	r, other := authority(t, t.TempDir()), authority(t, t.TempDir())
	r.CAKey = other.CAKey
	if _, _, err := credential.Renew(r); err == nil || !strings.Contains(err.Error(), "no CA in "+r.CACert) {
		t.Errorf("got %v", err)
	}
	r.CAKey = "/nowhere/ca.key"
	if _, _, err := credential.Renew(r); err == nil || !strings.Contains(err.Error(), "read CA key") {
		t.Errorf("got %v", err)
	}
}

// A certificate does not outlive its CA.
func TestTheCertificateEndsWithItsCA(t *testing.T) {
	r := authority(t, t.TempDir())
	r.Life = 2000 * time.Hour
	if expires, _, err := credential.Renew(r); err != nil || time.Until(expires) > 1000*time.Hour {
		t.Errorf("it ends at %s, %v", expires, err)
	}
}
