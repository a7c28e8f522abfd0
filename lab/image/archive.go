package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Container describes a container image of one layer.
type Container struct {
	// Tags are the image's names, "repository:tag" each.
	Tags []string
	// Files are the layer's contents by absolute path. Links and directories
	// work as in WriteFiles.
	Files map[string]File
	// Entrypoint and Env are what the image runs when a pod does not say.
	Entrypoint, Env []string
}

// WriteArchive writes c to path in the format of "docker save", which
// "ctr images import" reads. Equal input gives equal bytes.
func WriteArchive(path string, c Container) error {
	layer, err := os.CreateTemp(filepath.Dir(path), ".layer-")
	if err != nil {
		return fmt.Errorf("make layer file: %w", err)
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	sum := sha256.New()
	if err := writeLayer(io.MultiWriter(layer, sum), c.Files); err != nil {
		return fmt.Errorf("write layer: %w", err)
	}
	config, manifest, err := describe(c, hex.EncodeToString(sum.Sum(nil)))
	if err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".archive-")
	if err != nil {
		return fmt.Errorf("make archive: %w", err)
	}
	defer os.Remove(out.Name()) // fails harmlessly once renamed
	defer out.Close()
	if err := writeArchive(out, manifest, config, layer); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if err := out.Chmod(0o644); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return os.Rename(out.Name(), path)
}

// describe makes the image's configuration (the OCI image-spec's fields) and
// the list that a docker archive starts with.
func describe(c Container, diffID string) (config, manifest []byte, err error) {
	config, err = json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": c.Entrypoint, "Env": c.Env},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + diffID}},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("encode image config: %w", err)
	}
	manifest, err = json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": c.Tags, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return nil, nil, fmt.Errorf("encode image manifest: %w", err)
	}
	return config, manifest, nil
}

func writeArchive(out io.Writer, manifest, config []byte, layer *os.File) error {
	tw := tar.NewWriter(out)
	for _, part := range []struct {
		name string
		text []byte
	}{{"manifest.json", manifest}, {"config.json", config}} {
		if err := tw.WriteHeader(header(part.name, 0o644, int64(len(part.text)))); err != nil {
			return err
		}
		if _, err := tw.Write(part.text); err != nil {
			return err
		}
	}
	size, err := layer.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := tw.WriteHeader(header("layer.tar", 0o644, size)); err != nil {
		return err
	}
	if _, err := io.Copy(tw, layer); err != nil {
		return err
	}
	return tw.Close()
}

func writeLayer(out io.Writer, files map[string]File) error {
	tw := tar.NewWriter(out)
	for _, dir := range parents(files) {
		h := header(dir+"/", 0o755, 0)
		h.Typeflag = tar.TypeDir
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if f := files[name]; !f.Mode.IsDir() {
			if err := addFile(tw, strings.Trim(name, "/"), f); err != nil {
				return fmt.Errorf("add %s: %w", name, err)
			}
		}
	}
	return tw.Close()
}

func addFile(tw *tar.Writer, name string, f File) error {
	mode := f.Mode.Perm()
	if mode == 0 {
		mode = 0o644
	}
	switch {
	case f.Link != "":
		h := header(name, 0o777, 0)
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
		return tw.WriteHeader(h)
	case f.Source != "":
		in, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return err
		}
		if err := tw.WriteHeader(header(name, mode, info.Size())); err != nil {
			return err
		}
		_, err = io.Copy(tw, in)
		return err
	default:
		if err := tw.WriteHeader(header(name, mode, int64(len(f.Data)))); err != nil {
			return err
		}
		_, err := tw.Write(f.Data)
		return err
	}
}

// parents lists every directory that files need, outer ones first.
func parents(files map[string]File) []string {
	set := map[string]bool{}
	for name, f := range files {
		dir := strings.Trim(name, "/")
		if !f.Mode.IsDir() {
			dir = filepath.Dir(dir)
		}
		for ; dir != "." && dir != ""; dir = filepath.Dir(dir) {
			set[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func header(name string, mode fs.FileMode, size int64) *tar.Header {
	return &tar.Header{Name: name, Mode: int64(mode), Size: size, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
}
