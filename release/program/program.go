// Package program compiles what is shipped, and says what it was compiled from.
package program

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/joinery/joinery/internal/version"
)

// The programs, by the names of their packages in cmd/.
const (
	Agent      = "joinery-agent"
	Controller = "joinery-controller"
	Operator   = "joinery"
)

// Plugin is packer's plugin, which has a module of its own.
const Plugin = "packer-plugin-joinery"

// Platform is what a program is compiled for, by Go's names.
type Platform struct{ OS, Arch string }

// String returns os_arch, as it stands in the names of files.
func (p Platform) String() string { return p.OS + "_" + p.Arch }

// Program is one that was compiled.
type Program struct {
	Name     string
	Platform Platform
	// File is where it is.
	File string
	// Version is what the toolchain stamped, such as v0.3.0, and Time that of the
	// commit: everything in a release bears it, so that nothing depends on the clock.
	Version string
	Time    time.Time
}

// Build compiles a program of the tree at root into dir. Its bytes follow from the
// commit, the platform and the version of Go alone.
func Build(ctx context.Context, root, dir, name string, p Platform) (Program, error) {
	file := filepath.Join(dir, p.String(), name)
	if p.OS == "windows" {
		file += ".exe"
	}
	if err := compile(ctx, root, "./cmd/"+name, file, p); err != nil {
		return Program{}, fmt.Errorf("build %s for %s: %w", name, p, err)
	}
	return Read(file, name, p)
}

// compile builds the package pkg of the module in dir. X are variables that the linker
// sets, name=value each.
func compile(ctx context.Context, dir, pkg, file string, p Platform, x ...string) error {
	flags := "-s -w"
	for _, set := range x {
		flags += " -X " + set
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=true", "-ldflags", flags, "-o", file, pkg)
	cmd.Dir = dir
	// What could change the bytes and is in nobody's record.
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Read describes a program that Build compiled.
func Read(file, name string, p Platform) (Program, error) {
	stamped, err := buildinfo.ReadFile(file)
	if err != nil {
		return Program{}, fmt.Errorf("read build of %s: %w", file, err)
	}
	info := version.Of(stamped)
	at, err := time.Parse(time.RFC3339, info.CommitTime)
	if err != nil {
		return Program{}, fmt.Errorf("read build of %s: no commit is stamped into it: a release is made in a git checkout", file)
	}
	if info.Modified {
		return Program{}, fmt.Errorf("read build of %s: the tree differs from commit %s: commit or remove what `git status` shows", file, info.Commit)
	}
	return Program{Name: name, Platform: p, File: file, Version: info.Version, Time: at.UTC()}, nil
}
