package apt

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Index writes the indexes of a flat repository of the packages in dir, signed by
// key; nil leaves them unsigned.
func Index(dir string, packages []Package, key *openpgp.Entity) error {
	var index bytes.Buffer
	for _, p := range packages {
		size, sum, err := digest(filepath.Join(dir, p.FileName()))
		if err != nil {
			return fmt.Errorf("index repository: %w", err)
		}
		fmt.Fprintf(&index, "%sFilename: ./%s\nSize: %d\nSHA256: %s\n\n", p.control(), p.FileName(), size, sum)
	}
	if err := os.WriteFile(filepath.Join(dir, "Packages"), index.Bytes(), 0o644); err != nil {
		return fmt.Errorf("index repository: %w", err)
	}
	release := release(index.Bytes(), time.Now())
	if err := os.WriteFile(filepath.Join(dir, "Release"), release, 0o644); err != nil {
		return fmt.Errorf("index repository: %w", err)
	}
	signed := filepath.Join(dir, "InRelease")
	if key == nil {
		return os.RemoveAll(signed)
	}
	text, err := clearSigned(release, key)
	if err != nil {
		return fmt.Errorf("sign repository: %w", err)
	}
	return os.WriteFile(signed, text, 0o644)
}

func release(index []byte, now time.Time) []byte {
	sum := sha256.Sum256(index)
	old := md5.Sum(index) // apt wants the field; it compares the other
	return fmt.Appendf(nil, "Origin: lab\nLabel: lab\nDate: %s\nMD5Sum:\n %x %d Packages\nSHA256:\n %x %d Packages\n",
		now.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC"), old, len(index), sum, len(index))
}

func clearSigned(text []byte, key *openpgp.Entity) ([]byte, error) {
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, key.PrivateKey, nil)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// NewKey makes a signing key of the kind that all supported releases verify.
func NewKey(name string) (*openpgp.Entity, error) {
	key, err := openpgp.NewEntity(name, "", name+"@example.invalid", &packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 3072})
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

// Fingerprint names a key.
func Fingerprint(key *openpgp.Entity) string {
	return strings.ToUpper(hex.EncodeToString(key.PrimaryKey.Fingerprint))
}

// WriteKey writes the public half of keys to a file, armored.
func WriteKey(file string, keys ...*openpgp.Entity) error {
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	for _, k := range keys {
		if err := k.Serialize(w); err != nil {
			return fmt.Errorf("write key: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// WriteSums writes SHA256SUMS of the named files of dir, and SHA256SUMS.asc, its
// signature.
func WriteSums(dir string, key *openpgp.Entity, names ...string) error {
	var text, signature bytes.Buffer
	for _, name := range names {
		_, sum, err := digest(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("sum files: %w", err)
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, name)
	}
	if err := openpgp.ArmoredDetachSign(&signature, key, bytes.NewReader(text.Bytes()), nil); err != nil {
		return fmt.Errorf("sign sums: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("sum files: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS.asc"), signature.Bytes(), 0o644)
}

func digest(file string) (size int64, sum string, err error) {
	in, err := os.Open(file)
	if err != nil {
		return 0, "", err
	}
	defer in.Close()
	h := sha256.New()
	size, err = io.Copy(h, in)
	return size, hex.EncodeToString(h.Sum(nil)), err
}
