package pack_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blakesmith/ar"
	"github.com/sassoftware/go-rpmutils"

	"github.com/joinery/joinery/release/pack"
)

// entry is a file in a package, as the package's own format describes it.
type entry struct {
	mode   fs.FileMode
	owner  string
	link   string
	data   string
	config bool
}

// contents is a package that was read again.
type contents struct {
	name, version, arch, summary string
	depends                      []string
	// files are absolute path -> entry; directories end with a slash.
	files map[string]entry
	// scripts are after-install, before-remove and after-remove.
	scripts [3]string
}

func read(t *testing.T, f pack.Format, path string) contents {
	t.Helper()
	if f == pack.Deb {
		return readDeb(t, path)
	}
	return readRPM(t, path)
}

func readDeb(t *testing.T, path string) contents {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	members := map[string]map[string]entry{}
	for r := ar.NewReader(file); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if name := strings.TrimSuffix(h.Name, "/"); strings.HasSuffix(name, ".tar.gz") {
			members[name] = untar(t, r)
		}
	}
	control, data := members["control.tar.gz"], members["data.tar.gz"]
	c := contents{files: data, scripts: [3]string{control["/postinst"].data, control["/prerm"].data, control["/postrm"].data}}
	for line := range strings.Lines(control["/control"].data) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch k {
		case "Package":
			c.name = v
		case "Version":
			c.version = v
		case "Architecture":
			c.arch = v
		case "Description":
			c.summary = v
		case "Depends":
			c.depends = strings.Split(v, ", ")
		}
	}
	for _, name := range []string{"/postinst", "/prerm", "/postrm"} {
		if s, ok := control[name]; ok && s.mode.Perm() != 0o755 {
			t.Errorf("%s has mode %o", name, s.mode)
		}
	}
	for name := range strings.FieldsSeq(control["/conffiles"].data) {
		e, ok := c.files[name]
		if !ok {
			t.Errorf("the conffile %s is not in the package", name)
		}
		e.config = true
		c.files[name] = e
	}
	return c
}

func untar(t *testing.T, r io.Reader) map[string]entry {
	t.Helper()
	packed, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]entry{}
	for in := tar.NewReader(packed); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		name := "/" + strings.Trim(strings.TrimPrefix(h.Name, "."), "/")
		if h.Typeflag == tar.TypeDir {
			name += "/"
		}
		files[name] = entry{mode: fs.FileMode(h.Mode).Perm(), owner: h.Uname + ":" + h.Gname, link: h.Linkname, data: string(data)}
	}
}

// What rpm's headers say in numbers.
const (
	rpmConfigNoReplace = 1 | 1<<4
	rpmDirectory       = 0o040000
	rpmTypeMask        = 0o170000
)

func readRPM(t *testing.T, path string) contents {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p, err := rpmutils.ReadRpm(file)
	if err != nil {
		t.Fatal(err)
	}
	text := func(tag int) string {
		s, err := p.Header.GetString(tag)
		if err != nil {
			return ""
		}
		return s
	}
	c := contents{
		name: text(rpmutils.NAME), version: text(rpmutils.VERSION), arch: text(rpmutils.ARCH), summary: text(rpmutils.SUMMARY),
		files: map[string]entry{}, scripts: [3]string{text(rpmutils.POSTIN), text(rpmutils.PREUN), text(rpmutils.POSTUN)},
	}
	if p.Header.HasTag(rpmutils.REQUIRENAME) {
		if c.depends, err = p.Header.GetStrings(rpmutils.REQUIRENAME); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := p.Header.GetFiles()
	if err != nil {
		t.Fatal(err)
	}
	payload := expand(t, p)
	for _, f := range listed {
		name := f.Name()
		if f.Mode()&rpmTypeMask == rpmDirectory {
			name += "/"
		}
		c.files[name] = entry{
			mode: fs.FileMode(f.Mode()).Perm(), owner: f.UserName() + ":" + f.GroupName(), link: f.Linkname(),
			data: payload[f.Name()], config: f.Flags()&rpmConfigNoReplace == rpmConfigNoReplace,
		}
	}
	return c
}

// expand returns the contents of the regular files.
func expand(t *testing.T, p *rpmutils.Rpm) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := p.ExpandPayload(dir); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func gunzipped(t *testing.T, data string) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader([]byte(data)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
