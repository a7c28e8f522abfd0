// Package checkout makes further git checkouts of this repository: releases are made in
// one without changes, and older ones of the commits that they were made of.
package checkout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joinery/joinery/lab/host"
)

// Copy makes dir a repository with one commit, which is tagged as version: the tree at
// root, with what is not committed there.
func Copy(ctx context.Context, root, dir, version string) error {
	out, err := git(ctx, root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return fmt.Errorf("copy checkout: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(out, "\x00"), "\x00") {
		if err := copyFile(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("copy checkout: %w", err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "--all", "--force"}, {"commit", "-q", "-m", version}, {"tag", version}} {
		if _, err := git(ctx, dir, args...); err != nil {
			return fmt.Errorf("copy checkout: %w", err)
		}
	}
	return nil
}

// copyFile leaves out a file that git knows and that was deleted, and another repository
// inside of this one.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, info.Mode().Perm())
}

// At makes dir a checkout of a commit of the repository at root.
func At(ctx context.Context, root, dir, commit string) error {
	if _, err := git(ctx, root, "cat-file", "-e", commit+"^{commit}"); err != nil {
		return fmt.Errorf("check out %s: %s does not have it: a shallow clone gets it by `git fetch --unshallow`: %w", commit, root, err)
	}
	if _, err := git(ctx, root, "clone", "--quiet", "--shared", "--no-checkout", ".", dir); err != nil {
		return fmt.Errorf("check out %s: %w", commit, err)
	}
	if _, err := git(ctx, dir, "checkout", "--quiet", "--detach", commit); err != nil {
		return fmt.Errorf("check out %s: %w", commit, err)
	}
	return nil
}

// FirstWith returns the first commit of HEAD's history that has a file at path. In a
// shallow clone history begins where the clone does.
func FirstWith(ctx context.Context, root, path string) (string, error) {
	out, err := git(ctx, root, "log", "--diff-filter=A", "--format=%H", "--", path)
	if err != nil {
		return "", fmt.Errorf("find first commit with %s: %w", path, err)
	}
	commits := strings.Fields(out)
	if len(commits) == 0 {
		return "", fmt.Errorf("find first commit with %s: HEAD's history of %s has none", path, root)
	}
	return commits[len(commits)-1], nil
}

// settings make git independent of the developer's: a commit needs an author, no
// signature that a person would be asked for, and no hooks.
var settings = []string{
	"-c", "user.name=lab", "-c", "user.email=lab@example.com", "-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false",
	"-c", "core.hooksPath=/dev/null", "-c", "core.excludesFile=/dev/null",
}

// git runs in dir and returns what it prints. Git's own variables, which it sets for its
// hooks, would have it work in another repository than dir's.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append(slices.Clone(settings), args...)...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	host.Detach(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
