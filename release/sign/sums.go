// Package sign makes what proves that a release is whole, SHA256SUMS, and that it is the
// operator's: OpenPGP signatures of it and of the RPM packages.
package sign

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// SumsFile is the name of the list of checksums, in the format of sha256sum.
const SumsFile = "SHA256SUMS"

// Sums writes SHA256SUMS over all files in dir but the list and its signatures.
func Sums(dir string) error {
	return SumsOf(dir, SumsFile, func(name string) bool { return !strings.HasPrefix(name, SumsFile) })
}

// SumsOf writes a list like SHA256SUMS, under another name, over the files in dir that
// it wants.
func SumsOf(dir, list string, wants func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("write checksums: %w", err)
	}
	var lines strings.Builder
	for _, e := range entries { // sorted
		if !wants(e.Name()) {
			continue
		}
		sum, err := sumOf(filepath.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("write checksums: %w", err)
		}
		fmt.Fprintf(&lines, "%s  %s\n", sum, e.Name())
	}
	if err := os.WriteFile(filepath.Join(dir, list), []byte(lines.String()), 0o644); err != nil {
		return fmt.Errorf("write checksums: %w", err)
	}
	return nil
}

func sumOf(file string) (string, error) {
	in, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer in.Close()
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
