package bake

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
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// mostArchive and mostText bound what is read of a server that does not end.
	mostArchive = 4 << 30
	mostText    = 4 << 20
)

// Materials are verified files on the operator's side.
type Materials struct {
	Inputs
	// files maps what an archive's URL or a package's name says to its file.
	files map[string]verified
}

// verified is a file that agreed with its checksum.
type verified struct {
	path   string
	sha256 string // of what was verified, to compare after the upload
}

// fetcher gets files from servers, paths and the offline directory.
type fetcher struct {
	o      Options
	client *http.Client
	dir    string
}

// Fetch gets and verifies everything that the options name, into dir. Whatever is
// missing or cannot be verified is an error that wraps ErrUnverified; all such
// errors come at once.
func Fetch(ctx context.Context, o Options, client *http.Client, dir string) (*Materials, error) {
	if err := o.Problems().Err(); err != nil {
		return nil, err
	}
	f := fetcher{o: o.complete(), client: client, dir: dir}
	m := &Materials{Inputs: Inputs{Keyrings: map[string][]byte{}}, files: map[string]verified{}}
	var errs []error
	for _, r := range o.Repositories {
		ring, err := r.Key.keyring()
		if err != nil {
			errs = append(errs, fmt.Errorf("repository %s: %w", r.Name, err))
		}
		m.Keyrings[r.Name] = ring
	}
	sums, err := f.sums(ctx)
	if err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	for _, a := range o.Archives {
		v, err := f.archive(ctx, a, sums)
		if err != nil {
			errs = append(errs, fmt.Errorf("archive %s: %w", a.Component, err))
		}
		m.files[a.URL] = v
	}
	errs = append(errs, f.packages(ctx, m, sums)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

// sums returns base name -> checksum of the signed sums file.
func (f fetcher) sums(ctx context.Context) (map[string]string, error) {
	if f.o.Sums == nil {
		return nil, nil
	}
	text, err := f.text(ctx, f.o.Sums.URL)
	if err != nil {
		return nil, fmt.Errorf("sums: %w", err)
	}
	signature, err := f.text(ctx, f.o.Sums.SignatureURL)
	if err != nil {
		return nil, fmt.Errorf("sums: its signature: %w", err)
	}
	name := path.Base(f.o.Sums.URL)
	if err := f.o.Sums.Key.verify(name, text, signature); err != nil {
		return nil, fmt.Errorf("sums: %w", err)
	}
	return parseSums(name, string(text))
}

// parseSums reads the format of sha256sum and sha512sum.
func parseSums(name, text string) (map[string]string, error) {
	sums := map[string]string{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		var value string
		switch len(fields[0]) {
		case 2 * sha256.Size:
			value = "sha256:" + strings.ToLower(fields[0])
		case 2 * sha512.Size:
			value = "sha512:" + strings.ToLower(fields[0])
		}
		if len(fields) != 2 || !sum.MatchString(value) {
			return nil, fmt.Errorf("sums: read %s: a line is not a SHA-256 or SHA-512 sum and a file name", name)
		}
		sums[path.Base(strings.TrimPrefix(fields[1], "*"))] = value
	}
	return sums, nil
}

func (f fetcher) archive(ctx context.Context, a Archive, sums map[string]string) (verified, error) {
	want := a.Checksum
	if want == "" {
		want = sums[path.Base(a.URL)]
	}
	if want == "" {
		return verified{}, fmt.Errorf("%w: %s is not in the signed %s, and the archive has no checksum", ErrUnverified, path.Base(a.URL), path.Base(f.o.Sums.URL))
	}
	return f.file(ctx, a.URL, want)
}

// packages verifies the packages of the offline directory.
func (f fetcher) packages(ctx context.Context, m *Materials, sums map[string]string) []error {
	if f.o.Offline == "" {
		return nil
	}
	found, err := filepath.Glob(filepath.Join(f.o.Offline, "*.deb"))
	if err != nil {
		return []error{fmt.Errorf("list packages of %s: %w", f.o.Offline, err)}
	}
	slices.Sort(found)
	var errs []error
	for _, file := range found {
		name := filepath.Base(file)
		v, err := verified{}, fmt.Errorf("%w: it is not in the signed %s", ErrUnverified, path.Base(f.o.Sums.URL))
		if want := sums[name]; want != "" {
			v, err = f.file(ctx, name, want)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("package %s: %w", name, err))
		}
		m.files[name] = v
		m.Packages = append(m.Packages, name)
	}
	return errs
}

// open returns the content behind an address.
func (f fetcher) open(ctx context.Context, address string) (io.ReadCloser, error) {
	local := address
	if f.o.Offline != "" {
		local = filepath.Join(f.o.Offline, path.Base(address))
	} else if strings.Contains(address, "://") {
		return f.get(ctx, address)
	}
	file, err := os.Open(local)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no file %s", ErrUnverified, local)
	}
	return file, err
}

func (f fetcher) get(ctx context.Context, address string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("fetch %s: %w: the server answers %s", address, ErrUnverified, resp.Status)
	}
	return resp.Body, nil
}

func (f fetcher) text(ctx context.Context, address string) ([]byte, error) {
	in, err := f.open(ctx, address)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, mostText+1))
	if err == nil && len(data) > mostText {
		err = fmt.Errorf("read %s: it is larger than %d bytes", address, mostText)
	}
	return data, err
}

// file copies what is behind an address and compares it with its checksum. Only
// what agrees is kept.
func (f fetcher) file(ctx context.Context, address, want string) (verified, error) {
	in, err := f.open(ctx, address)
	if err != nil {
		return verified{}, err
	}
	defer in.Close()
	out, err := os.CreateTemp(f.dir, "verified-")
	if err != nil {
		return verified{}, fmt.Errorf("keep file: %w", err)
	}
	defer out.Close()
	kind, digest, _ := strings.Cut(want, ":")
	hashes := map[string]hash.Hash{"sha256": sha256.New(), "sha512": sha512.New()}
	n, err := io.Copy(io.MultiWriter(out, hashes["sha256"], hashes["sha512"]), io.LimitReader(in, mostArchive))
	if err == nil {
		err = out.Close()
	}
	if err == nil {
		if got := hex.EncodeToString(hashes[kind].Sum(nil)); got != digest {
			err = fmt.Errorf("%w: %s has the %s sum %s, %s is expected: its %d bytes were altered or cut short", ErrUnverified, path.Base(address), kind, got, digest, n)
		}
	}
	if err != nil {
		return verified{}, errors.Join(err, os.Remove(out.Name()))
	}
	return verified{path: out.Name(), sha256: hex.EncodeToString(hashes["sha256"].Sum(nil))}, nil
}
