package awssim

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// identitySigner signs instance identity documents, as AWS does with one key
// pair per region.
type identitySigner struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// identityDocument is what the world says about an instance under signature.
// Its members and their order are AWS'.
type identityDocument struct {
	AccountID               string   `json:"accountId"`
	Architecture            string   `json:"architecture"`
	AvailabilityZone        string   `json:"availabilityZone"`
	BillingProducts         []string `json:"billingProducts"`
	DevpayProductCodes      []string `json:"devpayProductCodes"`
	MarketplaceProductCodes []string `json:"marketplaceProductCodes"`
	ImageID                 string   `json:"imageId"`
	InstanceID              string   `json:"instanceId"`
	InstanceType            string   `json:"instanceType"`
	KernelID                *string  `json:"kernelId"`
	PendingTime             string   `json:"pendingTime"`
	PrivateIP               string   `json:"privateIp"`
	RamdiskID               *string  `json:"ramdiskId"`
	Region                  string   `json:"region"`
	Version                 string   `json:"version"`
}

// identityTreeLocked adds the identity document and its signatures. signature
// is RSA with SHA-256 over the document; rsa2048 is a PKCS #7 message holding
// it. pkcs7, which AWS signs with DSA, is signed with the same RSA key here.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html
func (w *World) identityTreeLocked(i *instance, t map[string]string) {
	doc := document(identityDocument{
		AccountID: w.AccountID, Architecture: i.Architecture, AvailabilityZone: i.Zone, ImageID: i.ImageID, InstanceID: i.ID,
		InstanceType: i.Type, PendingTime: seconds(i.pendingTime), PrivateIP: i.PrivateIP, Region: w.Region, Version: "2017-09-30",
	})
	const dir = "dynamic/instance-identity/"
	t[dir+"document"] = doc
	if i.signature == "" || i.signedDocument != doc {
		if err := w.signIdentityLocked(i, doc); err != nil {
			w.Log.Error("sign identity document", "instance", i.ID, "error", err)
			return
		}
	}
	t[dir+"signature"] = i.signature
	t[dir+"pkcs7"], t[dir+"rsa2048"] = i.signatureMessage, i.signatureMessage
}

// signIdentityLocked signs a document once for the instance's life.
func (w *World) signIdentityLocked(i *instance, doc string) error {
	s, err := w.identityLocked()
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(doc))
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		return err
	}
	message, err := s.pkcs7([]byte(doc), sig)
	if err != nil {
		return err
	}
	i.signedDocument, i.signature, i.signatureMessage = doc, lines(sig), lines(message)
	return nil
}

// lines is base64 broken into lines as the metadata service does it.
func lines(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var out []byte
	for len(s) > 76 {
		out = append(append(out, s[:76]...), '\n')
		s = s[76:]
	}
	return string(append(out, s...))
}

// IdentityCertificate returns the PEM certificate that verifies the signatures
// of identity documents, in place of the ones that AWS publishes.
func (w *World) IdentityCertificate() ([]byte, error) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	s, err := w.identityLocked()
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw}), nil
}

// identityLocked makes the key pair when it is first needed.
func (w *World) identityLocked() (*identitySigner, error) {
	if w.signer == nil {
		s, err := newIdentitySigner()
		if err != nil {
			return nil, fmt.Errorf("make identity key: %w", err)
		}
		w.signer = s
	}
	return w.signer, nil
}

func newIdentitySigner() (*identitySigner, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "awssim instance identity"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &identitySigner{key: key, cert: cert}, nil
}

// The parts of a PKCS #7 SignedData message (RFC 2315, section 9) without
// authenticated attributes: the signature is over the content itself.
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content any `asn1:"explicit,tag:0"`
	}
	signedData struct {
		Version    int
		Digests    []pkix.AlgorithmIdentifier `asn1:"set"`
		Content    contentInfo
		Certs      asn1.RawValue
		SignerInfo []signerInfo `asn1:"set"`
	}
	signerInfo struct {
		Version   int
		Issuer    issuerAndSerial
		Digest    pkix.AlgorithmIdentifier
		Algorithm pkix.AlgorithmIdentifier
		Signature []byte
	}
	issuerAndSerial struct {
		Name   asn1.RawValue
		Serial *big.Int
	}
)

func (s *identitySigner) pkcs7(content, signature []byte) ([]byte, error) {
	oid := func(last ...int) asn1.ObjectIdentifier {
		return append(asn1.ObjectIdentifier{1, 2, 840, 113549, 1}, last...)
	}
	sha := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, Parameters: asn1.NullRawValue}
	rsaOID := pkix.AlgorithmIdentifier{Algorithm: oid(1, 1), Parameters: asn1.NullRawValue}
	return asn1.Marshal(contentInfo{Type: oid(7, 2), Content: signedData{
		Version: 1,
		Digests: []pkix.AlgorithmIdentifier{sha},
		Content: contentInfo{Type: oid(7, 1), Content: content},
		Certs:   asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: s.cert.Raw},
		SignerInfo: []signerInfo{{
			Version: 1, Issuer: issuerAndSerial{Name: asn1.RawValue{FullBytes: s.cert.RawIssuer}, Serial: s.cert.SerialNumber},
			Digest: sha, Algorithm: rsaOID, Signature: signature,
		}},
	}})
}
