package join

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// NotJoinedError says why the machine does not count as joined.
type NotJoinedError struct{ Why string }

// Error says why.
func (e *NotJoinedError) Error() string { return "not joined: " + e.Why }

// Joined says why the machine does not hold a node's identity of that name at
// now, as *NotJoinedError, or nil. That kubelet.conf exists proves nothing: the
// kubelet writes it before it has a certificate, and an image may have been
// made of another node. The certificate is what counts.
func Joined(p Paths, nodeName string, now time.Time) error {
	if _, err := os.Stat(p.KubeletConfig()); err != nil {
		return &NotJoinedError{"no " + p.KubeletConfig()}
	}
	data, err := os.ReadFile(p.clientPEM())
	if err != nil {
		return &NotJoinedError{"no " + p.clientPEM()}
	}
	cert, err := firstCertificate(data)
	if err != nil {
		return &NotJoinedError{fmt.Sprintf("%s: %v", p.clientPEM(), err)}
	}
	switch {
	case cert.Subject.CommonName != kube.NodeUser(nodeName):
		return &NotJoinedError{fmt.Sprintf("the certificate is for %q", cert.Subject.CommonName)}
	case now.After(cert.NotAfter):
		return &NotJoinedError{"the certificate ended at " + cert.NotAfter.Format(time.RFC3339)}
	}
	return nil
}

// Identity returns a name for the key that the kubelet acts with, which every
// join replaces; empty when there is no certificate.
func Identity(p Paths) string {
	data, err := os.ReadFile(p.clientPEM())
	if err != nil {
		return ""
	}
	cert, err := firstCertificate(data)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(cert.RawSubjectPublicKeyInfo))
}

func firstCertificate(data []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, errors.New("holds no certificate")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}

// checkIssued makes sure that what the signer gave is what was asked for.
func checkIssued(pemData []byte, key *ecdsa.PrivateKey, nodeName string) (Certificate, error) {
	cert, err := firstCertificate(pemData)
	if err != nil {
		return Certificate{}, fmt.Errorf("issued certificate: %w", err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) || cert.Subject.CommonName != kube.NodeUser(nodeName) {
		return Certificate{}, fmt.Errorf("issued certificate: is for %q with another key or name than asked for", cert.Subject.CommonName)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Certificate{}, fmt.Errorf("encode key: %w", err)
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})
	return Certificate{Certificate: pemData, Key: v1alpha1.Secret(keyPEM)}, nil
}
