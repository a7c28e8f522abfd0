// Package archive writes tar and zip archives whose bytes follow from their contents
// alone.
package archive

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"
)

// File is one in an archive.
type File struct {
	Data []byte
	Mode fs.FileMode
}

// Files are path in the archive -> file.
type Files map[string]File

// WriteTar writes a gzipped tar archive. Every file is root's and bears the time at.
func WriteTar(path string, files Files, at time.Time) error {
	return write(path, func(out io.Writer) error {
		packed, err := gzip.NewWriterLevel(out, gzip.BestCompression)
		if err != nil {
			return err
		}
		w := tar.NewWriter(packed)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f := files[name]
			h := &tar.Header{
				Name: name, Mode: int64(f.Mode.Perm()), Size: int64(len(f.Data)), ModTime: at, Typeflag: tar.TypeReg,
				Uname: "root", Gname: "root", Format: tar.FormatPAX,
			}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			if _, err := w.Write(f.Data); err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
		return packed.Close()
	})
}

// WriteZip writes a zip archive in which every file bears the time at.
func WriteZip(path string, files Files, at time.Time) error {
	return write(path, func(out io.Writer) error {
		w := zip.NewWriter(out)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f := files[name]
			h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at}
			h.SetMode(f.Mode.Perm())
			to, err := w.CreateHeader(h)
			if err != nil {
				return err
			}
			if _, err := to.Write(f.Data); err != nil {
				return err
			}
		}
		return w.Close()
	})
}

func write(path string, contents func(io.Writer) error) error {
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	defer out.Close()
	if err := contents(out); err != nil {
		return fmt.Errorf("write archive %s: %w", path, err)
	}
	return out.Close()
}
