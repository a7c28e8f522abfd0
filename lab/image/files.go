package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joinery/joinery/lab/host"
)

// File is one thing to put into an image or onto a machine's disk. Exactly one
// of Data, Source, Link and a directory Mode gives its content; with none of
// them it is an empty file.
type File struct {
	// Data is the content itself.
	Data []byte
	// Source is a file of this machine whose content is taken. It is linked
	// where the file system allows it, so it must not change afterwards.
	Source string
	// Link makes a symbolic link with this target.
	Link string
	// Mode is the permission; with fs.ModeDir a directory is made. Zero means
	// 0644.
	Mode fs.FileMode
}

// WriteFiles puts files, keyed by absolute path inside the image, under root.
// Directories in between are made with mode 0755; what is there is replaced.
func WriteFiles(root string, files map[string]File) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(filepath.Join(root, filepath.Clean("/"+name)), files[name]); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

func writeFile(path string, f File) error {
	mode := f.Mode.Perm()
	if mode == 0 {
		mode = 0o644
	}
	if f.Mode.IsDir() {
		return os.MkdirAll(path, mode)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case f.Link != "":
		return os.Symlink(f.Link, path)
	case f.Source != "":
		return linkOrCopy(f.Source, path, mode)
	default:
		if err := os.WriteFile(path, f.Data, mode); err != nil {
			return err
		}
		return os.Chmod(path, mode) // whatever the umask
	}
}

// linkOrCopy links when the modes agree and both are on one file system: the
// programs of an image are 300 MB, and a link costs nothing.
func linkOrCopy(from, to string, mode fs.FileMode) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.Mode().Perm() == mode && os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode), out.Close())
}

// Unpack makes the directory dir of a Debian package's files, for an image's layer.
// Nothing of the package is run.
func Unpack(ctx context.Context, deb, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
	}
	if out, err := host.Run(exec.CommandContext(ctx, "dpkg-deb", "--extract", deb, dir)); err != nil {
		return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, strings.TrimSpace(string(out)))
	}
	return nil
}
