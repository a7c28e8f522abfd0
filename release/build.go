package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/joinery/joinery/release/archive"
	"github.com/joinery/joinery/release/bill"
	"github.com/joinery/joinery/release/pack"
	"github.com/joinery/joinery/release/program"
	"github.com/joinery/joinery/release/sign"
)

// request is what to release.
type request struct {
	root, out string
	platforms []program.Platform
}

// build makes the release, in place of what is in out.
func (r request) build(ctx context.Context, report io.Writer) error {
	if err := os.RemoveAll(r.out); err != nil {
		return fmt.Errorf("clear %s: %w", r.out, err)
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", r.out, err)
	}
	work, err := os.MkdirTemp("", "joinery-release-")
	if err != nil {
		return fmt.Errorf("make release: %w", err)
	}
	defer os.RemoveAll(work)
	var last program.Program
	for _, p := range r.platforms {
		programs, err := r.compile(ctx, work, p)
		if err != nil {
			return err
		}
		if err := r.release(programs, p); err != nil {
			return err
		}
		last = programs[0]
		fmt.Fprintln(report, p, last.Version)
	}
	if err := r.plugins(ctx, work, last.Version); err != nil {
		return err
	}
	if err := r.manifests(last); err != nil {
		return err
	}
	return sign.Sums(r.out)
}

// compile makes the programs of one platform. The services run on Linux alone.
func (r request) compile(ctx context.Context, work string, p program.Platform) ([]program.Program, error) {
	names := []string{program.Operator}
	if p.OS == "linux" {
		names = append(names, program.Agent, program.Controller)
	}
	var all []program.Program
	for _, name := range names {
		built, err := program.Build(ctx, r.root, work, name, p)
		if err != nil {
			return nil, err
		}
		all = append(all, built)
	}
	return all, nil
}

// release writes what belongs to one platform.
func (r request) release(programs []program.Program, p program.Platform) error {
	if err := r.archive(programs, p); err != nil {
		return err
	}
	for _, built := range programs {
		name := strings.Join([]string{built.Name, built.Version, built.Platform.String()}, "_")
		if err := bill.Write(filepath.Join(r.out, name+".cdx.json"), built); err != nil {
			return err
		}
		if p.OS != "linux" {
			continue
		}
		for _, f := range pack.Formats() {
			if _, err := pack.Write(r.root, r.out, f, built); err != nil {
				return err
			}
		}
	}
	return nil
}

// archive writes the programs of a platform without a package's help: those, the licence
// and, for Linux, the units.
func (r request) archive(programs []program.Program, p program.Platform) error {
	files := archive.Files{}
	for _, built := range programs {
		if err := add(files, built.File, filepath.Base(built.File), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		if err := add(files, filepath.Join(r.root, name), name, 0o644); err != nil {
			return err
		}
	}
	if p.OS == "linux" {
		if err := addUnits(files); err != nil {
			return err
		}
	}
	first := programs[0]
	path := filepath.Join(r.out, strings.Join([]string{"joinery", first.Version, p.String()}, "_"))
	if p.OS == "windows" {
		return archive.WriteZip(path+".zip", files, first.Time)
	}
	return archive.WriteTar(path+".tar.gz", files, first.Time)
}

// manifests writes deploy/, which is the same for every platform.
func (r request) manifests(built program.Program) error {
	paths, err := pack.Deploy(r.root)
	if err != nil {
		return err
	}
	files := archive.Files{}
	for _, p := range paths {
		if err := add(files, filepath.Join(r.root, p), p, 0o644); err != nil {
			return err
		}
	}
	return archive.WriteTar(filepath.Join(r.out, "joinery-deploy_"+built.Version+".tar.gz"), files, built.Time)
}
