// Package apt makes Debian packages and signed repositories of them, in the form
// that apt reads, for the lab to serve. Nothing but Go is needed for that.
package apt

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/joinery/joinery/lab/image"
)

// Package is a package to be made.
type Package struct {
	Name, Version, Arch string
	// Depends is as in a control file; empty for none.
	Depends string
	// Files are the contents by absolute path. Links are not made.
	Files map[string]image.File
}

func (p Package) control() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: lab <lab@example.invalid>\nDescription: made by the lab\n", p.Name, p.Version, p.Arch)
	if p.Depends != "" {
		fmt.Fprintf(&b, "Depends: %s\n", p.Depends)
	}
	return b.String()
}

// FileName is the name of the package's file.
func (p Package) FileName() string {
	return p.Name + "_" + p.Version + "_" + p.Arch + ".deb"
}

// Write makes the package's file in dir. Its parts are not compressed: the lab
// serves them to itself.
func (p Package) Write(dir string) error {
	out, err := os.Create(filepath.Join(dir, p.FileName()))
	if err != nil {
		return fmt.Errorf("make package %s: %w", p.Name, err)
	}
	defer out.Close()
	data, err := os.CreateTemp(dir, ".data-")
	if err != nil {
		return fmt.Errorf("make package %s: %w", p.Name, err)
	}
	defer os.Remove(data.Name())
	defer data.Close()
	if err := p.data(data); err != nil {
		return fmt.Errorf("make package %s: %w", p.Name, err)
	}
	size, err := data.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("make package %s: %w", p.Name, err)
	}
	var control bytes.Buffer
	if err := one(&control, "./control", p.control()); err != nil {
		return fmt.Errorf("make package %s: %w", p.Name, err)
	}
	err = members(out, []member{
		{"debian-binary", 4, strings.NewReader("2.0\n")},
		{"control.tar", int64(control.Len()), &control},
		{"data.tar", size, io.NewSectionReader(data, 0, size)},
	})
	if err != nil {
		return fmt.Errorf("make package %s: %w", p.Name, err)
	}
	return out.Close()
}

// member is a part of an ar archive.
type member struct {
	name string
	size int64
	in   io.Reader
}

// members writes an ar archive as deb(5) describes it.
func members(out io.Writer, all []member) error {
	if _, err := io.WriteString(out, "!<arch>\n"); err != nil {
		return err
	}
	for _, m := range all {
		if _, err := fmt.Fprintf(out, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", m.name, 0, 0, 0, 0o100644, m.size); err != nil {
			return err
		}
		if _, err := io.Copy(out, m.in); err != nil {
			return err
		}
		if m.size%2 == 1 {
			if _, err := io.WriteString(out, "\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

func one(out io.Writer, name, text string) error {
	tw := tar.NewWriter(out)
	if err := tw.WriteHeader(header(name, 0o644, int64(len(text)))); err != nil {
		return err
	}
	if _, err := io.WriteString(tw, text); err != nil {
		return err
	}
	return tw.Close()
}

// data writes the files with their directories, which dpkg wants to see first.
func (p Package) data(out io.Writer) error {
	tw := tar.NewWriter(out)
	made := map[string]bool{"/": true}
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		if err := directories(tw, path.Dir(name), made); err != nil {
			return err
		}
		if err := file(tw, name, p.Files[name]); err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
	}
	return tw.Close()
}

func directories(tw *tar.Writer, dir string, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	if err := directories(tw, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	h := header("."+dir+"/", 0o755, 0)
	h.Typeflag = tar.TypeDir
	return tw.WriteHeader(h)
}

func file(tw *tar.Writer, name string, f image.File) error {
	mode := f.Mode.Perm()
	if mode == 0 {
		mode = 0o644
	}
	in, size := io.Reader(bytes.NewReader(f.Data)), int64(len(f.Data))
	if f.Source != "" {
		source, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer source.Close()
		info, err := source.Stat()
		if err != nil {
			return err
		}
		in, size = source, info.Size()
	}
	if err := tw.WriteHeader(header("."+name, mode, size)); err != nil {
		return err
	}
	_, err := io.Copy(tw, in)
	return err
}

func header(name string, mode fs.FileMode, size int64) *tar.Header {
	return &tar.Header{Name: name, Mode: int64(mode), Size: size, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Uname: "root", Gname: "root", Format: tar.FormatGNU}
}
