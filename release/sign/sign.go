package sign

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/sassoftware/go-rpmutils"
)

// Key reads an armored private key. The passphrase is used if the key is locked.
func Key(file string, passphrase []byte) (*openpgp.Entity, error) {
	text, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	defer text.Close()
	keys, err := openpgp.ReadArmoredKeyRing(text)
	if err != nil {
		return nil, fmt.Errorf("read signing key %s: %w", file, err)
	}
	if len(keys) != 1 || keys[0].PrivateKey == nil {
		return nil, fmt.Errorf("read signing key %s: expected exactly one private key", file)
	}
	if keys[0].PrivateKey.Encrypted {
		if err := keys[0].DecryptPrivateKeys(passphrase); err != nil {
			return nil, fmt.Errorf("unlock signing key %s: %w", file, err)
		}
	}
	return keys[0], nil
}

// Release signs what Sums listed in dir: the header of each RPM package, which rpm
// checks itself, then the list of checksums, made again, which covers all the rest.
func Release(dir string, key *openpgp.Entity) error {
	packages, err := filepath.Glob(filepath.Join(dir, "*.rpm"))
	if err != nil {
		return fmt.Errorf("sign packages: %w", err)
	}
	for _, p := range packages {
		if err := signRPM(p, key.PrivateKey); err != nil {
			return fmt.Errorf("sign %s: %w", filepath.Base(p), err)
		}
	}
	if err := Sums(dir); err != nil {
		return err
	}
	list, err := os.ReadFile(filepath.Join(dir, SumsFile))
	if err != nil {
		return fmt.Errorf("sign checksums: %w", err)
	}
	for ending, sign := range map[string]func(io.Writer, *openpgp.Entity, io.Reader, *packet.Config) error{
		".asc": openpgp.ArmoredDetachSign, // for people
		".sig": openpgp.DetachSign,        // for packer
	} {
		var out bytes.Buffer
		if err := sign(&out, key, bytes.NewReader(list), nil); err != nil {
			return fmt.Errorf("sign checksums: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, SumsFile+ending), out.Bytes(), 0o644); err != nil {
			return fmt.Errorf("sign checksums: %w", err)
		}
	}
	return nil
}

func signRPM(file string, key *packet.PrivateKey) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	signed := file + ".signed"
	if _, err := rpmutils.SignRpmFile(in, signed, key, nil); err != nil {
		os.Remove(signed) // half of a package is of no use
		return err
	}
	return os.Rename(signed, file)
}
