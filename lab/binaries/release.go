package binaries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/joinery/joinery/internal/download"
	"github.com/joinery/joinery/internal/redact"
	"github.com/joinery/joinery/lab/cache"
)

const (
	// kubernetesArchive is where Kubernetes publishes its programs.
	kubernetesArchive = "https://dl.k8s.io/release"
	// noArchive stands for an archive where none shall be asked.
	noArchive = "none"
	// pinnedSums is the file of a module that pins released programs, if there is
	// one.
	pinnedSums = "SHA256SUMS"
)

// waits are how long an archive may keep us waiting. Where it cannot be reached,
// they are all that asking for it costs.
var waits = download.Limits{Connect: 5 * time.Second, Answer: 15 * time.Second, Silence: 30 * time.Second}

// Archive returns the address of the release archive to download Kubernetes from:
// $JOINERY_KUBERNETES_ARCHIVE, or that of the Kubernetes project. It is "" when
// the variable is "none".
func Archive() (string, error) {
	const variable = "JOINERY_KUBERNETES_ARCHIVE"
	address := os.Getenv(variable)
	switch address {
	case "":
		return kubernetesArchive, nil
	case noArchive:
		return "", nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(address, "?#") {
		return "", fmt.Errorf("%s: its value is no https address without a password and a query: expected one such as %s, or %s", variable, kubernetesArchive, noArchive)
	}
	return strings.TrimSuffix(address, "/"), nil
}

// released is the programs of a component as its project has released them.
type released struct {
	c       component
	archive string
	client  *http.Client
	// pins are the checksums that the tree has, by program; nil when it has none.
	pins map[string]string
}

// released returns what can be downloaded of a component, false when nothing can.
func (c component) released(o Options) (released, bool, error) {
	if c.release == "" || o.Archive == "" {
		return released{}, false, nil
	}
	r := released{c: c, archive: o.Archive, client: o.client}
	if r.client == nil {
		r.client = waits.Client(http.DefaultTransport.(*http.Transport))
	}
	if c.unpinned {
		return r, true, nil
	}
	name := filepath.Join(c.module, pinnedSums)
	text, err := os.ReadFile(filepath.Join(o.Root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return r, true, nil
	}
	if err == nil {
		r.pins, err = download.ParseSums(name, string(text))
	}
	if err != nil {
		return released{}, false, fmt.Errorf("pinned sums: %w", err)
	}
	return r, true, nil
}

// place is named after what decides which bytes are there. The archive's address
// does not: whatever it is, it has the same release.
func (r released) place(o Options) place {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q\n", r.c.release, runtime.GOOS, runtime.GOARCH)
	for _, p := range r.c.programs {
		fmt.Fprintf(h, "%q %q\n", p.name, r.pins[p.name])
	}
	key := "release-" + hex.EncodeToString(h.Sum(nil))[:16]
	return place{dir: filepath.Join(o.Cache, "bin", r.c.name+"-"+key), key: key}
}

// choice says what was chosen and why; err is why the archive was not.
func (r released) choice(err error) string {
	name := r.c.name + " " + r.c.release
	if err != nil {
		return name + " is built from Go modules: " + err.Error()
	}
	by := "the sums published beside them"
	if r.pins != nil {
		by = "the sums that " + filepath.Join(r.c.module, pinnedSums) + " pins"
	}
	return name + " is downloaded from " + redact.Address(r.archive) + ": its programs agree with " + by
}

// download gets a component from the release archive and says aloud whether that
// was possible. It returns false when the component must be built.
func (c component) download(ctx context.Context, o Options) (place, bool, error) {
	r, ok, err := c.released(o)
	if err != nil || !ok {
		return place{}, false, err
	}
	at := r.place(o)
	err = o.Report.Step("download "+c.name, func() (bool, error) { return false, r.fetch(ctx, at) })
	if ctx.Err() != nil {
		return place{}, false, context.Cause(ctx)
	}
	o.Report.Note(r.choice(err))
	return at, err == nil, nil
}

// fetch downloads all programs to a place, or none.
func (r released) fetch(ctx context.Context, to place) error {
	unlock, err := cache.Use(ctx, to.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if to.complete(r.c) {
		return nil // another process was faster
	}
	partial := to.dir + ".partial"
	if err := os.RemoveAll(partial); err != nil { // of a process that was killed
		return fmt.Errorf("make download directory: %w", err)
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return fmt.Errorf("make download directory: %w", err)
	}
	defer os.RemoveAll(partial)
	for _, p := range r.c.programs {
		if err := r.program(ctx, p.name, partial); err != nil {
			return fmt.Errorf("download %s: %w", p.name, err)
		}
	}
	return os.Rename(partial, to.dir)
}

// program downloads one program into dir. Its sum comes first, so that no more is
// asked of an archive that has none.
func (r released) program(ctx context.Context, name, dir string) error {
	address := fmt.Sprintf("%s/%s/bin/%s/%s/%s", r.archive, r.c.release, runtime.GOOS, runtime.GOARCH, name)
	want, err := r.sum(ctx, name, address)
	if err != nil {
		return err
	}
	in, err := download.Open(ctx, r.client, address)
	if err != nil {
		return err
	}
	defer in.Close()
	kept, err := download.Keep(in, name, want, dir)
	if err != nil {
		return err
	}
	if err := os.Chmod(kept.Path, 0o755); err != nil {
		return err
	}
	return os.Rename(kept.Path, filepath.Join(dir, name))
}

// sum returns what a program must agree with: the pin, or what is published.
func (r released) sum(ctx context.Context, name, address string) (string, error) {
	if r.pins != nil {
		want, ok := r.pins[name]
		if !ok {
			return "", fmt.Errorf("%w: %s does not pin it", download.ErrUnverified, filepath.Join(r.c.module, pinnedSums))
		}
		return want, nil
	}
	in, err := download.Open(ctx, r.client, address+".sha256")
	if err != nil {
		return "", fmt.Errorf("its sum: %w", err)
	}
	defer in.Close()
	text, err := download.Text(in, redact.Address(address)+".sha256")
	if err != nil {
		return "", fmt.Errorf("its sum: %w", err)
	}
	// Digits alone, or a line of sha256sum.
	fields := strings.Fields(string(text))
	if len(fields) == 1 || len(fields) == 2 && strings.TrimPrefix(fields[1], "*") == name {
		if want, ok := download.Checksum(fields[0]); ok {
			return want, nil
		}
	}
	return "", fmt.Errorf("its sum: %w: %s.sha256 is no SHA-256 sum of %s", download.ErrUnverified, name, name)
}
