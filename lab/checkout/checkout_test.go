package checkout_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/joinery/joinery/lab/checkout"
)

// repository is one with a committed file, a changed one, a new one, an ignored one and
// a deleted one.
func repository(t *testing.T) string {
	t.Helper()
	before := t.TempDir()
	write(t, before, map[string]string{"kept": "kept", "changed": "old", "deleted": "x", ".gitignore": "ignored\n"})
	dir := t.TempDir()
	if err := checkout.Copy(t.Context(), initialised(t, before), dir, "v0.1.0"); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"changed": "new", "in/a/folder": "added", "ignored": "x"})
	if err := os.Remove(filepath.Join(dir, "deleted")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func initialised(t *testing.T, dir string) string {
	t.Helper()
	run(t, dir, "init", "-q")
	return dir
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestCopyHasWhatIsNotCommitted(t *testing.T) {
	from, to := repository(t), t.TempDir()
	if err := checkout.Copy(t.Context(), from, to, "v0.2.0"); err != nil {
		t.Fatal(err)
	}
	if got, want := run(t, to, "ls-files"), ".gitignore\nchanged\nin/a/folder\nkept"; got != want {
		t.Errorf("the copy has %q, want %q", got, want)
	}
	if got := run(t, to, "show", "HEAD:changed"); got != "new" {
		t.Errorf("changed is %q", got)
	}
	if got := run(t, to, "ls-files", "--stage", "kept"); !strings.HasPrefix(got, "100755 ") {
		t.Errorf("the copy lost the mode: %s", got)
	}
	if got := run(t, to, "status", "--porcelain") + run(t, to, "describe", "--tags", "--exact-match"); got != "v0.2.0" {
		t.Errorf("the copy is %q", got)
	}
}

func TestAtIsTheCommit(t *testing.T) {
	from, to := repository(t), filepath.Join(t.TempDir(), "old")
	commit := run(t, from, "rev-parse", "HEAD")
	if err := checkout.At(t.Context(), from, to, commit); err != nil {
		t.Fatal(err)
	}
	if got := run(t, to, "rev-parse", "HEAD") + run(t, to, "status", "--porcelain"); got != commit {
		t.Errorf("checked out %s, want %s", got, commit)
	}
	if text, err := os.ReadFile(filepath.Join(to, "changed")); err != nil || string(text) != "old" {
		t.Errorf("changed is %q (%v)", text, err)
	}
}

// A shallow clone lacks old commits; whoever runs it is told what to do.
func TestAtMissesACommit(t *testing.T) {
	from := repository(t)
	err := checkout.At(t.Context(), from, t.TempDir(), strings.Repeat("1", 40))
	if err == nil || !strings.Contains(err.Error(), "git fetch --unshallow") {
		t.Errorf("%v", err)
	}
}

func TestFirstWithLooksThroughHistory(t *testing.T) {
	dir := repository(t)
	if _, err := checkout.FirstWith(t.Context(), dir, "in/a/folder"); err == nil {
		t.Error("a file that no commit has was found in one")
	}
	run(t, dir, "add", "in")
	run(t, dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "second")
	second := run(t, dir, "rev-parse", "HEAD")
	run(t, dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "--allow-empty", "-m", "third")
	for path, want := range map[string]string{"in/a/folder": second, "kept": run(t, dir, "rev-parse", "HEAD~2")} {
		if got, err := checkout.FirstWith(t.Context(), dir, path); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
}

// A hook of git's runs with variables that name the repository which it is of.
func TestCopyLeavesTheRepositoryAloneThatItIsCalledFrom(t *testing.T) {
	before, dir := repository(t), t.TempDir()
	head, status := run(t, before, "rev-parse", "HEAD"), run(t, before, "status", "--short")
	t.Setenv("GIT_DIR", filepath.Join(before, ".git"))
	t.Setenv("GIT_WORK_TREE", before)
	t.Setenv("GIT_INDEX_FILE", filepath.Join(before, ".git", "index"))
	err := checkout.Copy(t.Context(), before, dir, "v0.9.9")
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"} {
		os.Unsetenv(name)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, before, "rev-parse", "HEAD"); got != head {
		t.Errorf("the repository is at %s, was at %s", got, head)
	}
	if got := run(t, before, "status", "--short"); got != status {
		t.Errorf("the repository has %q, had %q", got, status)
	}
	if got := run(t, dir, "tag"); got != "v0.9.9" {
		t.Errorf("the copy has the tags %q", got)
	}
}

func TestCopyTakesWhatGitTracks(t *testing.T) {
	before, dir := repository(t), t.TempDir()
	run(t, before, "add", "--force", "ignored")
	if err := os.Symlink("in/a", filepath.Join(before, "link")); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(before, "another")
	write(t, before, map[string]string{"another/file": "x"})
	run(t, inner, "init", "-q")
	run(t, inner, "add", "file")
	run(t, inner, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "another")
	if err := checkout.Copy(t.Context(), before, dir, "v0.1.0"); err != nil {
		t.Fatal(err)
	}
	if got := run(t, dir, "ls-files", "ignored", "link", "another"); got != "ignored\nlink" {
		t.Errorf("committed: %q", got)
	}
	if target, err := os.Readlink(filepath.Join(dir, "link")); err != nil || target != "in/a" {
		t.Errorf("link: %q, %v", target, err)
	}
}
