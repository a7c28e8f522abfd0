// Package download gets files from servers and keeps those alone that agree with
// a checksum that the caller knows.
package download

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/joinery/joinery/internal/redact"
)

const (
	// mostFile and mostText bound what is read of a server that does not end.
	mostFile = 4 << 30
	mostText = 4 << 20
)

// ErrUnverified says that something is missing, altered, unsigned or signed by
// another key than the pinned one.
var ErrUnverified = errors.New("not verified")

// File is a file that agreed with its checksum.
type File struct {
	Path   string
	SHA256 string // of what was verified, in hex
}

// Name returns the last part of an address or of a path: the name of its file. The query
// of an address is none of it.
func Name(address string) string {
	if scheme, rest, ok := strings.Cut(address, "://"); ok {
		if i := strings.IndexAny(rest, "?#"); i >= 0 {
			address = scheme + "://" + rest[:i]
		}
	}
	return path.Base(address)
}

// Open returns what a server has behind an address. Its errors show neither the user
// and password nor the query of the address.
func Open(ctx context.Context, client *http.Client, address string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	shown := redact.Address(address)
	if err != nil { // it repeats the address, or a part of it
		return nil, fmt.Errorf("fetch %s: it cannot be read as an address", shown)
	}
	resp, err := client.Do(req)
	if err != nil {
		// What wraps the cause repeats the address, the query included.
		if whole := new(url.Error); errors.As(err, &whole) {
			err = whole.Err
		}
		return nil, redact.Error(fmt.Errorf("fetch %s: %w", shown, err))
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("fetch %s: %w: the server answers %s", shown, ErrUnverified, resp.Status)
	}
	return resp.Body, nil
}

// Text reads a short text, such as a file of checksums. The name is for errors.
func Text(in io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, mostText+1))
	if err == nil && len(data) > mostText {
		err = fmt.Errorf("read %s: it is larger than %d bytes", name, mostText)
	}
	return data, err
}

// Keep copies what it reads into a new file in dir and compares it with want,
// which Checksum has returned. What does not agree is removed and is
// ErrUnverified. The name is for errors.
func Keep(in io.Reader, name, want, dir string) (File, error) {
	out, err := os.CreateTemp(dir, "verified-")
	if err != nil {
		return File{}, fmt.Errorf("keep file: %w", err)
	}
	defer out.Close()
	kind, digest, _ := strings.Cut(want, ":")
	hashes := map[string]hash.Hash{"sha256": sha256.New(), "sha512": sha512.New()}
	n, err := io.Copy(io.MultiWriter(out, hashes["sha256"], hashes["sha512"]), io.LimitReader(in, mostFile))
	if err == nil {
		err = out.Close()
	}
	if err == nil {
		if got := hex.EncodeToString(hashes[kind].Sum(nil)); got != digest {
			err = fmt.Errorf("%w: %s has the %s sum %s, %s is expected: its %d bytes were altered or cut short", ErrUnverified, name, kind, got, digest, n)
		}
	}
	if err != nil {
		return File{}, errors.Join(err, os.Remove(out.Name()))
	}
	return File{Path: out.Name(), SHA256: hex.EncodeToString(hashes["sha256"].Sum(nil))}, nil
}
