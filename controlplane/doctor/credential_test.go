package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/controlplane/doctor"
)

// credential writes a kubeconfig and its certificate, and returns the former's path.
func credential(t *testing.T, from, to time.Time) string {
	t.Helper()
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	text := `{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: k, cluster: {server: "https://10.0.0.7:6443"}}],
users: [{name: u, user: {client-certificate: client.pem, client-key: client.pem}}], contexts: [{name: c, context: {cluster: k, user: u}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if to.IsZero() {
		return kubeconfig
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: plain})...)
	if err := os.WriteFile(filepath.Join(dir, "client.pem"), both, 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

func TestTheControllersCertificateIsExamined(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		kubeconfig string
		level      doctor.Level
		says       string
	}{
		"a day's":     {credential(t, now, now.Add(24*time.Hour)), doctor.OK, "lasts until"},
		"a year's":    {credential(t, now, now.AddDate(1, 0, 0)), doctor.Warning, "lasts 365 days"},
		"not renewed": {credential(t, now.Add(-20*time.Hour), now.Add(4*time.Hour)), doctor.Warning, "is not renewed"},
		"ended":       {credential(t, now.Add(-20*time.Hour), now.Add(-time.Hour)), doctor.Broken, "ended at"},
		"lost":        {credential(t, now, time.Time{}), doctor.Broken, "no such file"},
		"not here":    {"/nowhere/kubeconfig", doctor.Skipped, "not on this machine"},
		"not asked":   {"", doctor.Skipped, "not looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			found := examine(t, doctor.Cluster{Client: server(t, healthy(t)...), Kubeconfig: tt.kubeconfig}, "client-certificate")
			if len(found) != 1 || found[0].Level != tt.level || !strings.Contains(found[0].Found, tt.says) {
				t.Errorf("found %+v", found)
			}
		})
	}
}
