package credential

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// backdated is how much earlier than now a certificate begins, for API servers
// whose clocks are behind.
const backdated = 5 * time.Minute

// issue makes a key and a client certificate for it, without a group: the user has
// the rights that deploy/rbac binds and no others.
func issue(authority *x509.Certificate, by crypto.Signer, life time.Duration) ([]byte, time.Time, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("make serial number: %w", err)
	}
	now := time.Now()
	expires := now.Add(life)
	if expires.After(authority.NotAfter) {
		expires = authority.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: User},
		NotBefore: now.Add(-backdated), NotAfter: expires, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), by)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("sign client certificate: %w", err)
	}
	plain, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("write key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: plain})...), template.NotAfter.Truncate(time.Second), nil
}

// readAuthority returns the CA and its key. A file with several CAs, as while one
// is rotated, gives the one that the key belongs to.
func readAuthority(certFile, keyFile string) (*x509.Certificate, crypto.Signer, error) {
	all, err := cert.CertsFromFile(certFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read CA: %w", err)
	}
	key, err := keyutil.PrivateKeyFromFile(keyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read CA key (a cluster whose CA key is elsewhere needs a certificate from there): %w", err)
	}
	signer := signerOf(key)
	for _, c := range all {
		public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		if ok && signer != nil && public.Equal(signer.Public()) {
			return c, signer, nil
		}
	}
	return nil, nil, fmt.Errorf("no CA in %s belongs to the key in %s", certFile, keyFile)
}

func signerOf(key any) crypto.Signer {
	s, _ := key.(crypto.Signer)
	return s
}
