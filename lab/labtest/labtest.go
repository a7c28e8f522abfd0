// Package labtest lets tests use real lab machines. Where those cannot run, a
// test that asks for them is skipped with the reason, or fails when CI=true, so
// that a pipeline never passes by leaving them out.
package labtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/joinery/joinery/lab/binaries"
	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/packer"
	"github.com/joinery/joinery/lab/progress"
)

// Require skips t, or fails it when CI=true, unless lab machines can run here.
func Require(t testing.TB) {
	t.Helper()
	if why := host.Machines(); why != "" {
		without(t, why)
	}
	if missing := host.Missing(t.Context()); len(missing) > 0 {
		without(t, "missing packages: "+strings.Join(missing, " "))
	}
}

// Kit returns the prepared kit. It builds nothing foreign: that takes longer
// than a test may.
func Kit(t testing.TB) *kit.Kit {
	t.Helper()
	Require(t)
	k, err := kit.Load(t.Context(), kit.Options{Report: Report(t)})
	if errors.Is(err, binaries.ErrNotBuilt) {
		without(t, err.Error()+": build them once with `go run ./cmd/joinery-lab prepare`")
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Maintenance returns what a cluster needs that is upgraded and restored. Like Kit, it
// builds nothing foreign.
func Maintenance(t testing.TB) *kit.Maintenance {
	t.Helper()
	Require(t)
	m, err := kit.LoadMaintenance(t.Context(), kit.Options{Report: Report(t)})
	if errors.Is(err, binaries.ErrNotBuilt) {
		without(t, err.Error()+": build it once with `go run ./cmd/joinery-lab prepare --maintenance`")
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Bare makes, in a directory of a run's, an image of the operating system and the lab's own
// unit only. It needs no built program.
func Bare(t testing.TB, dir string) image.Image {
	t.Helper()
	cache, err := binaries.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	base, err := image.Base(t.Context(), cache, Report(t))
	if err != nil {
		t.Fatal(err)
	}
	files, err := image.Machine("us-west-2")
	if err != nil {
		t.Fatal(err)
	}
	img, err := image.Image{Layers: []string{base}}.With(filepath.Join(dir, "bare"), files)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Packer returns the real packer with its plugins. Like Kit, it builds nothing foreign.
func Packer(t testing.TB) *packer.Packer {
	t.Helper()
	p, err := packer.New(t.Context(), kit.Options{Report: Report(t)}, t.TempDir())
	if errors.Is(err, binaries.ErrNotBuilt) {
		without(t, err.Error()+": build it once with `go run ./cmd/joinery-lab prepare --packer`")
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Companions returns metrics-server and the Vertical Pod Autoscaler, with their
// manifests. Like Kit, it builds nothing.
func Companions(t testing.TB) binaries.Set {
	t.Helper()
	set, err := kit.LoadCompanions(t.Context(), kit.Options{Report: Report(t)})
	if errors.Is(err, binaries.ErrNotBuilt) {
		without(t, err.Error()+": build them once with `go run ./cmd/joinery-lab prepare --companions`")
	}
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Report logs steps that did some work to t.
func Report(t testing.TB) progress.Func {
	return func(e progress.Event) {
		if e.State == progress.Done && !e.Cached {
			t.Logf("%s: %.1f s", e.Step, e.Elapsed.Seconds())
		}
	}
}

// Lasting returns a context for cleaning up, which t's own context, cancelled
// before cleanups run, is no good for.
func Lasting(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }

func without(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
