package image_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/joinery/joinery/lab/image"
)

func TestWriteFiles(t *testing.T) {
	root := t.TempDir()
	source := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]image.File{
		"/etc/a":            {Data: []byte("a")},
		"/etc/secret":       {Data: []byte("s"), Mode: 0o600},
		"/usr/bin/program":  {Source: source, Mode: 0o755},
		"/usr/bin/copy":     {Source: source, Mode: 0o700},
		"/etc/link":         {Link: "../usr/bin/program"},
		"/var/dir":          {Mode: fs.ModeDir | 0o750},
		"/../../etc/inside": {Data: []byte("inside")},
	}
	for range 2 { // the second time replaces what is there
		if err := image.WriteFiles(root, files); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"etc/a": "-rw-r--r-- a", "etc/secret": "-rw------- s", "usr/bin/program": "-rwxr-xr-x program",
		"usr/bin/copy": "-rwx------ program", "etc/inside": "-rw-r--r-- inside",
	}
	for name, text := range want {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if got := info.Mode().String() + " " + string(data); err != nil || got != text {
			t.Errorf("%s: %q, want %q (%v)", name, got, text, err)
		}
	}
	if to, err := os.Readlink(filepath.Join(root, "etc/link")); err != nil || to != "../usr/bin/program" {
		t.Errorf("link to %q (%v)", to, err)
	}
	if err := image.WriteFiles(root, map[string]image.File{"/x": {Source: "/does/not/exist"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing source gives %v", err)
	}
}

func TestDropIn(t *testing.T) {
	got := image.DropIn("a.service", map[string]string{"B": `50% of "x\y"`, "A": "http://10.99.0.1:80"})
	const want = "[Service]\nEnvironment=\"A=http://10.99.0.1:80\"\nEnvironment=\"B=50%% of \\\"x\\\\y\\\"\"\n"
	if text := string(got["/etc/systemd/system/a.service.d/10-lab.conf"].Data); text != want {
		t.Errorf("got %q, want %q", text, want)
	}
	if got := image.DropIn("a.service", nil); len(got) != 0 {
		t.Errorf("no environment gives %v", got)
	}
}

func TestMachineFiles(t *testing.T) {
	for region, name := range map[string]string{
		"us-west-2": "10.99.0.12 ip-10-99-0-12.us-west-2.compute.internal ip-10-99-0-12\n",
		"us-east-1": "10.99.0.12 ip-10-99-0-12.ec2.internal ip-10-99-0-12\n",
	} {
		files, err := image.Machine(region)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(files["/etc/hosts"].Data), name) {
			t.Errorf("%s: /etc/hosts lacks %q", region, name)
		}
		if link := files["/etc/systemd/system/sysinit.target.wants/lab-machine.service"].Link; link != "../lab-machine.service" {
			t.Errorf("lab-machine.service is not enabled: %q", link)
		}
	}
}

// untar returns name -> content, with the type flag in front.
func untar(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	out := map[string]string{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(h.Typeflag) + string(text) + h.Linkname
	}
}

func TestWriteArchive(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("elf"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := image.Container{
		Tags: []string{"lab.local/a:1", "lab.local/b:2"}, Entrypoint: []string{"/a"}, Env: []string{"PATH=/bin"},
		Files: map[string]image.File{"/a": {Source: program, Mode: 0o755}, "/etc/x": {Data: []byte("x")}, "/l": {Link: "a"}, "/tmp": {Mode: fs.ModeDir | 0o755}},
	}
	one, two := filepath.Join(dir, "one.tar"), filepath.Join(dir, "two.tar")
	for _, path := range []string{one, two} {
		if err := image.WriteArchive(path, c); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(two); err != nil || !bytes.Equal(text, again) {
		t.Errorf("equal input gives different archives (%v)", err)
	}
	parts := untar(t, bytes.NewReader(text))
	layer := parts["layer.tar"][1:]
	want := map[string]string{"etc/": "5", "tmp/": "5", "a": "0elf", "etc/x": "0x", "l": "2a"}
	if got := untar(t, strings.NewReader(layer)); !reflect.DeepEqual(got, want) {
		t.Errorf("layer holds %v, want %v", got, want)
	}
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal([]byte(parts["manifest.json"][1:]), &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 1 || !reflect.DeepEqual(manifest[0].RepoTags, c.Tags) || manifest[0].Config != "config.json" {
		t.Errorf("manifest is %+v", manifest)
	}
	sum := sha256.Sum256([]byte(layer))
	if !strings.Contains(parts["config.json"], "sha256:"+hex.EncodeToString(sum[:])) {
		t.Errorf("config does not name the layer: %s", parts["config.json"])
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("temporary files stay: %v (%v)", left, err)
	}
}
