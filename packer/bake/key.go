package bake

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"

	"github.com/joinery/joinery/internal/download"
	"github.com/joinery/joinery/internal/quote"
)

// ErrUnverified says that something is missing, altered, unsigned or signed by
// another key, so that it must not enter an image.
var ErrUnverified = download.ErrUnverified

// read returns the pinned key out of its file. Other keys of the file are not
// returned, so that nothing can be signed with them.
func (k Key) read() (*openpgp.Entity, error) {
	data, err := os.ReadFile(k.File)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
	if err != nil {
		ring, err = openpgp.ReadKeyRing(bytes.NewReader(data))
	}
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w: it is no OpenPGP keyring: %v", k.File, ErrUnverified, err)
	}
	var others []string
	for _, e := range ring {
		found := strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint))
		if found == k.normalized() {
			return e, nil
		}
		others = append(others, found)
	}
	return nil, fmt.Errorf("read key %s: %w: it does not hold the pinned key %s but %s: compare with the fingerprint that the key's owner publishes",
		k.File, ErrUnverified, k.normalized(), quote.List(others))
}

// keyring returns the pinned key as apt reads it.
func (k Key) keyring() ([]byte, error) {
	e, err := k.read()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		return nil, fmt.Errorf("write keyring of %s: %w", k.File, err)
	}
	return b.Bytes(), nil
}

// verify wants a detached signature, armored or binary, of text by the pinned key.
func (k Key) verify(name string, text, signature []byte) error {
	e, err := k.read()
	if err != nil {
		return err
	}
	check := openpgp.CheckDetachedSignature
	if bytes.HasPrefix(bytes.TrimSpace(signature), []byte("-----BEGIN PGP")) {
		check = openpgp.CheckArmoredDetachedSignature
	}
	_, err = check(openpgp.EntityList{e}, bytes.NewReader(text), bytes.NewReader(signature), nil)
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return fmt.Errorf("verify %s: %w: it is signed by another key than the pinned %s", name, ErrUnverified, k.normalized())
	case err != nil:
		return fmt.Errorf("verify %s: %w: its signature is not good: it was altered, or the signature belongs to another file: %v", name, ErrUnverified, err)
	}
	return nil
}
