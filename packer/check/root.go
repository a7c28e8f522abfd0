package check

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxLinks bounds how many links a path may lead through.
const maxLinks = 20

// Root is the file system of an image. Its links, also absolute ones, lead to
// files of the image, never to those of the computer that checks it.
type Root struct{ fsys fs.ReadLinkFS }

// NewRoot returns the root of an image in fsys, such as os.DirFS(dir).
func NewRoot(fsys fs.ReadLinkFS) Root { return Root{fsys: fsys} }

// resolve returns the path inside fsys that name leads to. A path that ends
// nowhere is returned as it is.
func (r Root) resolve(name string) (string, error) {
	done, todo := ".", strings.Split(path.Clean("/" + name)[1:], "/")
	for links := 0; len(todo) > 0; {
		next := path.Join(done, todo[0])
		todo = todo[1:]
		info, err := r.fsys.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			return path.Join(append([]string{next}, todo...)...), nil
		}
		if err != nil {
			return "", err
		}
		if info.Mode().Type() != fs.ModeSymlink {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: too many links", name)
		}
		target, err := r.fsys.ReadLink(next)
		if err != nil {
			return "", err
		}
		if !path.IsAbs(target) {
			target = path.Join("/", done, target)
		}
		done, todo = ".", append(strings.Split(path.Clean(target)[1:], "/"), todo...)
	}
	return done, nil
}

// read returns the content of a file; absent reports that there is none.
func (r Root) read(name string) (text string, absent bool, err error) {
	at, err := r.resolve(name)
	if err != nil {
		return "", false, err
	}
	data, err := fs.ReadFile(r.fsys, at)
	if errors.Is(err, fs.ErrNotExist) {
		return "", true, nil
	}
	return string(data), false, err
}

// stat follows links; nil means that there is no such file.
func (r Root) stat(name string) (fs.FileInfo, error) {
	at, err := r.resolve(name)
	if err != nil {
		return nil, err
	}
	info, err := fs.Stat(r.fsys, at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}

// link returns the target of a symbolic link, empty for anything else.
func (r Root) link(name string) (string, error) {
	dir, err := r.resolve(path.Dir(name))
	if err != nil {
		return "", err
	}
	at := path.Join(dir, path.Base(name))
	info, err := r.fsys.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Type() != fs.ModeSymlink {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return r.fsys.ReadLink(at)
}

// glob returns what matches a pattern, as paths of the image.
func (r Root) glob(patterns ...string) ([]string, error) {
	var found []string
	for _, p := range patterns {
		names, err := fs.Glob(r.fsys, strings.TrimPrefix(p, "/"))
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			found = append(found, "/"+n)
		}
	}
	return found, nil
}
