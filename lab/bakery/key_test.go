package bakery

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// apart are packages that the image is made with and not of: programs and bases have
// keys of their own, the others run commands and tell people.
var apart = []string{"lab/binaries", "lab/host", "lab/progress"}

// A package that decides what an image holds and is no part of its key would leave
// old images in use.
func TestSourcesAreAllThatDecide(t *testing.T) {
	const module = "github.com/joinery/joinery/"
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./packer/bake", "./lab/apt", "./lab/image", "./systemd")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"lab/bakery"}
	for _, p := range strings.Fields(string(out)) {
		if name, own := strings.CutPrefix(p, module); own && !slices.Contains(apart, name) {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if !slices.Equal(want, sources) {
		t.Errorf("the key covers %q, an image is decided by %q", sources, want)
	}
}

func TestKeyFollowsEverySource(t *testing.T) {
	root := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range sources {
		put(dir+"/code.go", "package x")
	}
	put("base-1/var/lib/dpkg/status", "Package: a")
	put("agent", "agent")
	now := func() string {
		t.Helper()
		got, err := inputs{base: filepath.Join(root, "base-1"), agent: filepath.Join(root, "agent"), root: root, programs: "p=1"}.key()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	seen := []string{now()}
	put("packer/bake/x_test.go", "package x")
	put("packer/bake/testdata/x", "golden")
	if now() != seen[0] {
		t.Error("a test changes the key")
	}
	for _, change := range []func(){
		func() { put("agent", "another") },
		func() { put("base-1/var/lib/dpkg/status", "Package: b") },
		func() { put("packer/bake/files/sysctl.conf", "x = 1") },
		func() { put("packer/bake/files/sysctl.conf", "x = 2") },
		func() { put("systemd/code.go", "package y") },
	} {
		change()
		if got := now(); slices.Contains(seen, got) {
			t.Error("a change leaves the key as it was")
		} else {
			seen = append(seen, got)
		}
	}
	if got, err := (inputs{base: filepath.Join(root, "base-1"), agent: filepath.Join(root, "agent"), root: root, programs: "p=2"}).key(); err != nil || slices.Contains(seen, got) {
		t.Errorf("another build of a program leaves the key as it was (%v)", err)
	}
}
