package bundle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// authorities are CA certificates from several places.
type authorities []*x509.Certificate

// add takes the CA certificates of a PEM text. A CA may be absent; what is there
// must be whole, or nodes might be told half of it.
func (a *authorities) add(text []byte) error {
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return errors.New("not PEM: expected CA certificates")
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("holds a PEM block of type %q: expected CA certificates", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("holds a malformed certificate: %w", err)
		}
		if cert.IsCA {
			*a = append(*a, cert)
		}
	}
	return nil
}

// pem returns the certificates that are not expired at now, each once, in an
// order that depends on nothing but themselves, so that masters that agree
// about the CA agree about its bytes.
func (a authorities) pem(now time.Time) (string, error) {
	live := slices.DeleteFunc(slices.Clone(a), func(c *x509.Certificate) bool { return !now.Before(c.NotAfter) })
	if len(live) == 0 {
		return "", fmt.Errorf("%d CA certificates, none of them valid at %s", len(a), now.UTC().Format(time.RFC3339))
	}
	slices.SortFunc(live, func(x, y *x509.Certificate) int {
		fx, fy := sha256.Sum256(x.Raw), sha256.Sum256(y.Raw)
		return cmp.Or(x.NotBefore.Compare(y.NotBefore), bytes.Compare(fx[:], fy[:]))
	})
	live = slices.CompactFunc(live, func(x, y *x509.Certificate) bool { return bytes.Equal(x.Raw, y.Raw) })
	var out strings.Builder
	for _, c := range live {
		// Headers of the block that it came in are left out.
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return strings.TrimSpace(out.String()), nil
}
