package schema

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Package and Integrity pin the npm package; the latter is what npm calls the SHA-512
// sum of its archive.
const (
	Package   = "@cdktf/provider-aws@21.22.1"
	Integrity = "sha512-BuSHeaQFUL9l33pBzIMRT7cTQ69AM2mLtijjteCPhVQRmvuhuj9Lvfymf7knAMhYqAT6+Lrls9jiGVW/Us3zrQ=="
	archive   = "cdktf-provider-aws-21.22.1.tgz"
)

// Fetch returns the path of the package's archive, which it has npm fetch into the cache
// once.
func Fetch() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", Package, err)
	}
	dir := filepath.Join(cache, "joinery", "npm")
	file := filepath.Join(dir, archive)
	if verify(file) == nil {
		return file, nil
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return "", fmt.Errorf("fetch %s: npm is not installed", Package)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("fetch %s: %w", Package, err)
	}
	// pack downloads the archive and runs nothing that is in it.
	out, err := exec.Command("npm", "pack", "--silent", "--pack-destination", dir, Package).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w: %s", Package, err, out)
	}
	return file, verify(file)
}

func verify(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("verify %s: %w", file, err)
	}
	defer f.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("verify %s: %w", file, err)
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != Integrity {
		return fmt.Errorf("verify %s: %s, want %s", file, got, Integrity)
	}
	return nil
}

// Extract reads the schema of resources and data sources, by their types without the
// prefix aws_, out of the package's archive.
func Extract(file string, resources, dataSources []string) (Provider, error) {
	p := Provider{Resources: map[string]Block{}, DataSources: map[string]Block{}}
	into := map[string]map[string]Block{} // path -> where it goes
	for _, r := range resources {
		into["package/lib/"+strings.ReplaceAll(r, "_", "-")+"/index.js"] = p.Resources
	}
	for _, d := range dataSources {
		into["package/lib/data-aws-"+strings.ReplaceAll(d, "_", "-")+"/index.js"] = p.DataSources
	}
	err := walk(file, func(path, text string) error {
		blocks := into[path]
		if blocks == nil {
			return nil
		}
		delete(into, path)
		typescript, err := Source(text)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		name, version, body, err := Parse(typescript)
		p.Version, blocks[name] = version, body
		return err
	}, into)
	if err == nil && len(into) > 0 {
		err = fmt.Errorf("not in the package: %v", into)
	}
	return p, err
}

// walk calls read with each file of the archive that is wanted.
func walk[T any](file string, read func(path, text string) error, wanted map[string]T) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read package: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read package: %w", err)
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read package: %w", err)
		}
		if _, ok := wanted[h.Name]; !ok {
			continue
		}
		text, err := io.ReadAll(t)
		if err != nil {
			return fmt.Errorf("read package: %w", err)
		}
		if err := read(h.Name, string(text)); err != nil {
			return err
		}
	}
}
