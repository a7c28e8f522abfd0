package v1alpha1_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
)

var issued = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// certificate returns a self-signed PEM certificate.
func certificate(t testing.TB, isCA bool) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: isCA,
		BasicConstraintsValid: true, NotBefore: issued, NotAfter: issued.AddDate(10, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func bundle(t testing.TB) v1alpha1.JoinBundle {
	return v1alpha1.JoinBundle{Cluster: "demo", Endpoint: "10.99.0.11:6443", CACert: certificate(t, true),
		Token: "abcdef.0123456789abcdef", IssuedAt: issued, ExpiresAt: issued.Add(90 * time.Minute), KubernetesVersion: "v1.37.2"}
}
