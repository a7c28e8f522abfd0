package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/release/archive"
)

var (
	at    = time.Date(2026, 11, 30, 18, 2, 4, 0, time.UTC)
	files = archive.Files{"joinery": {Data: []byte("program"), Mode: 0o755}, "docs/LICENSE": {Data: []byte("text"), Mode: 0o644}}
)

func TestTar(t *testing.T) {
	data := twice(t, archive.WriteTar)
	packed, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	got := archive.Files{}
	for r := tar.NewReader(packed); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || !h.ModTime.Equal(at) || h.Uid != 0 || h.Uname != "root" {
			t.Errorf("%s: %s, %d %s, %v", h.Name, h.ModTime, h.Uid, h.Uname, err)
		}
		got[h.Name] = archive.File{Data: text, Mode: h.FileInfo().Mode()}
	}
	if diff := cmp.Diff(files, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestZip(t *testing.T) {
	data := twice(t, archive.WriteZip)
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	got := archive.Files{}
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil || !f.Modified.Equal(at) {
			t.Errorf("%s: %s, %v", f.Name, f.Modified, err)
		}
		got[f.Name] = archive.File{Data: text, Mode: f.Mode()}
	}
	if diff := cmp.Diff(files, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// twice writes the same archive under two names and returns its bytes.
func twice(t *testing.T, write func(string, archive.Files, time.Time) error) []byte {
	t.Helper()
	var all [][]byte
	for _, name := range []string{"one", "two"} {
		path := filepath.Join(t.TempDir(), name)
		if err := write(path, files, at); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	if !bytes.Equal(all[0], all[1]) {
		t.Error("two archives of the same files differ")
	}
	return all[0]
}
