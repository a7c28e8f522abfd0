// Package pack makes the packages of Debian and of RPM distributions.
//
// Nothing in them is written twice: units are those of package systemd, manual pages
// those that the programs' tests hold to their commands, and what a machine does at
// installation is the same in both formats as far as the formats allow.
package pack

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/rpm"

	"github.com/joinery/joinery/release/program"
)

// Format is that of a package.
type Format string

// The formats.
const (
	Deb Format = "deb"
	RPM Format = "rpm"
)

// Formats returns all of them.
func Formats() []Format { return []Format{Deb, RPM} }

func (f Format) packager() nfpm.Packager {
	if f == Deb {
		return deb.Default
	}
	return rpm.DefaultRPM
}

const (
	homepage   = "https://github.com/joinery/joinery"
	maintainer = "Joinery authors <joinery@localhost>"
)

// Write packs a program, with all that belongs to it in the tree at root, into dir, and
// returns the package's path. Its bytes follow from the program and the tree.
func Write(root, dir string, f Format, p program.Program) (string, error) {
	i := slices.IndexFunc(specs(), func(s spec) bool { return s.program == p.Name })
	if i < 0 {
		return "", fmt.Errorf("pack %s: no package holds it", p.Name)
	}
	work, err := os.MkdirTemp("", "joinery-pack-")
	if err != nil {
		return "", fmt.Errorf("pack %s: %w", p.Name, err)
	}
	defer os.RemoveAll(work)
	info, err := describe(root, work, f, specs()[i], p)
	if err != nil {
		return "", fmt.Errorf("pack %s as %s: %w", p.Name, f, err)
	}
	path := filepath.Join(dir, f.packager().ConventionalFileName(info))
	if err := write(path, f, info); err != nil {
		return "", fmt.Errorf("pack %s as %s: %w", p.Name, f, err)
	}
	return path, nil
}

func write(path string, f Format, info *nfpm.Info) error {
	if err := nfpm.PrepareForPackager(info, string(f)); err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := f.packager().Package(info, out); err != nil {
		return err
	}
	return out.Close()
}

// describe returns what nfpm packs. Files that are made for it go below work.
func describe(root, work string, f Format, s spec, p program.Program) (*nfpm.Info, error) {
	version, err := Version(p.Version)
	if err != nil {
		return nil, err
	}
	c := &contents{root: root, work: work, format: f}
	c.add(s, p)
	scripts := c.scripts(s)
	if c.err != nil {
		return nil, c.err
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: s.program, Arch: p.Platform.Arch, Platform: p.Platform.OS, Version: version, VersionSchema: "none",
		Section: "admin", Priority: "optional", Maintainer: maintainer, Vendor: "Joinery", Homepage: homepage, License: "Apache-2.0",
		Description: s.summary + "\n" + s.description, DisableGlobbing: true, MTime: p.Time,
		Overridables: nfpm.Overridables{Contents: c.files, Scripts: scripts, Suggests: s.suggests},
	})
	if len(s.units) > 0 {
		info.Depends = []string{"systemd"}
	}
	if f == RPM {
		info.Release = "1"
		info.RPM.Summary = s.summary
		info.RPM.BuildHost = "localhost" // else the name of the machine that packs
	}
	return info, nil
}
