package bake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joinery/joinery/internal/download"
	"github.com/joinery/joinery/internal/redact"
)

// Materials are verified files on the operator's side.
type Materials struct {
	Inputs
	// files maps what an archive's URL or a package's name says to its file.
	files map[string]download.File
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
	m := &Materials{Inputs: Inputs{Keyrings: map[string][]byte{}}, files: map[string]download.File{}}
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
	name := shownName(f.o.Sums.URL)
	if err := f.o.Sums.Key.verify(name, text, signature); err != nil {
		return nil, fmt.Errorf("sums: %w", err)
	}
	parsed, err := download.ParseSums(name, string(text))
	if err != nil {
		return nil, fmt.Errorf("sums: %w", err)
	}
	return parsed, nil
}

func (f fetcher) archive(ctx context.Context, a Archive, sums map[string]string) (download.File, error) {
	want := a.Checksum
	if want == "" {
		want = sums[download.Name(a.URL)]
	}
	if want == "" {
		return download.File{}, fmt.Errorf("%w: %s is not in the signed %s, and the archive has no checksum", ErrUnverified, shownName(a.URL), shownName(f.o.Sums.URL))
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
		v, err := download.File{}, fmt.Errorf("%w: it is not in the signed %s", ErrUnverified, shownName(f.o.Sums.URL))
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

// shownName returns the name of the file behind an address, for people to read.
func shownName(address string) string { return path.Base(redact.Address(address)) }

// open returns the content behind an address.
func (f fetcher) open(ctx context.Context, address string) (io.ReadCloser, error) {
	local := address
	if f.o.Offline != "" {
		local = filepath.Join(f.o.Offline, download.Name(address))
	} else if strings.Contains(address, "://") {
		return download.Open(ctx, f.client, address)
	}
	file, err := os.Open(local)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no file %s", ErrUnverified, redact.Address(local))
	}
	return file, err
}

func (f fetcher) text(ctx context.Context, address string) ([]byte, error) {
	in, err := f.open(ctx, address)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return download.Text(in, redact.Address(address))
}

// file copies what is behind an address and compares it with its checksum. Only
// what agrees is kept.
func (f fetcher) file(ctx context.Context, address, want string) (download.File, error) {
	in, err := f.open(ctx, address)
	if err != nil {
		return download.File{}, err
	}
	defer in.Close()
	return download.Keep(in, shownName(address), want, f.dir)
}
