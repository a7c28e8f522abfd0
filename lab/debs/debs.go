// Package debs makes Joinery's Debian packages as a release has them: by the release
// program of the commit that they are made of.
package debs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/joinery/joinery/lab/binaries"
	"github.com/joinery/joinery/lab/cache"
	"github.com/joinery/joinery/lab/checkout"
	"github.com/joinery/joinery/lab/host"
)

// Version is that of packages made of the tree at hand. Every commit without a tag has
// an earlier one.
const Version = "v0.99.0"

// names are the packages.
var names = []string{"joinery", "joinery-agent", "joinery-controller"}

// Set is a release's packages for this computer's architecture: name -> file.
type Set map[string]string

// OfTree makes the packages of the tree at o.Root, with what is not committed there, in
// dir.
func OfTree(ctx context.Context, o binaries.Options, dir string) (Set, error) {
	err := o.Report.Step("packages of this tree", func() (bool, error) {
		return false, release(ctx, dir, func(to string) error { return checkout.Copy(ctx, o.Root, to, Version) }, "--only", "deb")
	})
	if err != nil {
		return nil, fmt.Errorf("make packages: %w", err)
	}
	return find(dir)
}

// OfCommit returns the packages of a commit, which stay in the cache. It asks for no more
// than the release programs of all commits know.
func OfCommit(ctx context.Context, o binaries.Options, commit string) (Set, error) {
	dir := filepath.Join(o.Cache, "debs", commit)
	unlock, err := cache.Use(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("make packages: %w", err)
	}
	defer unlock()
	err = o.Report.Step("packages of "+commit, func() (bool, error) {
		if _, err := find(dir); err == nil {
			return true, nil
		}
		return false, release(ctx, dir, func(to string) error { return checkout.At(ctx, o.Root, to, commit) })
	})
	if err != nil {
		return nil, fmt.Errorf("make packages: %w", err)
	}
	return find(dir)
}

// release makes a release, in dir, of the checkout that place makes.
func release(ctx context.Context, dir string, place func(string) error, options ...string) error {
	work, err := os.MkdirTemp("", "joinery-debs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := place(work); err != nil {
		return err
	}
	out, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	args := append([]string{"run", "-trimpath", "-buildvcs=false", ".", "build", "--platform", "linux/" + runtime.GOARCH, "--out", out}, options...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(work, "release")
	// What the caller's environment says about other modules must not leak in.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if text, err := host.Run(cmd); err != nil {
		return fmt.Errorf("release: %w: %s", err, strings.TrimSpace(string(text)))
	}
	return nil
}

// find looks for a package of each name. A release writes its checksums last, so a
// directory with them is whole.
func find(dir string) (Set, error) {
	if _, err := os.Stat(filepath.Join(dir, "SHA256SUMS")); err != nil {
		return nil, fmt.Errorf("find packages: %w", err)
	}
	set := Set{}
	for _, name := range names {
		found, err := filepath.Glob(filepath.Join(dir, name+"_*_"+runtime.GOARCH+".deb"))
		if err != nil {
			return nil, fmt.Errorf("find packages: %w", err)
		}
		if len(found) != 1 {
			return nil, fmt.Errorf("find packages: %d files of %s in %s: expected one", len(found), name, dir)
		}
		set[name] = found[0]
	}
	return set, nil
}
