package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/release/program"
)

var cold = flag.Bool("cold", false, "release for all platforms, and compile the second time from nothing (half an hour)")

// checkout copies this tree, with what is not committed yet, and commits all of it.
func checkout(t *testing.T, dir string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join("..", name))
		if os.IsNotExist(err) {
			continue // deleted, not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "init", "-q")
	git(t, dir, "add", "--all")
	git(t, dir, "commit", "-q", "-m", "release")
	git(t, dir, "tag", "v0.3.0")
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v: %s", args[0], err, out)
	}
}

// sums returns name -> checksum of the files in dir.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		sum := sha256.Sum256(data)
		all[d.Name()] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Two people who build one commit, in their own folders and at different times, get the
// same bytes of everything.
func TestReleaseIsReproducible(t *testing.T) {
	here := program.Platform{OS: "linux", Arch: runtime.GOARCH}
	platforms := []program.Platform{here}
	if *cold {
		platforms = append(platforms, program.Platform{OS: "linux", Arch: map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]},
			program.Platform{OS: "darwin", Arch: "arm64"}, program.Platform{OS: "windows", Arch: "amd64"})
	}
	origin := t.TempDir()
	checkout(t, origin)
	var made []map[string]string
	began := time.Now()
	for i, folder := range []string{"one", "quite/another"} {
		if i == 1 && *cold {
			t.Setenv("GOCACHE", t.TempDir())
		}
		// Formats keep seconds: in the same one, a clock in the bytes would not show.
		for time.Since(began) < 2*time.Second && i > 0 {
			time.Sleep(100 * time.Millisecond)
		}
		if i == 1 { // nothing of the other's surroundings may be in the bytes
			t.Setenv("TZ", "Pacific/Chatham")
			t.Setenv("SOURCE_DATE_EPOCH", "1")
			defer syscall.Umask(syscall.Umask(0o077))
		}
		root, out := filepath.Join(t.TempDir(), folder), filepath.Join(t.TempDir(), "dist")
		git(t, origin, "clone", "-q", origin, root)
		var report bytes.Buffer
		if err := (request{root: root, out: out, platforms: platforms}).build(t.Context(), &report); err != nil {
			t.Fatal(err)
		}
		if want := here.String() + " v0.3.0\n"; !strings.HasPrefix(report.String(), want) {
			t.Errorf("reported %q, want %q", report.String(), want)
		}
		made = append(made, sums(t, out))
	}
	if diff := cmp.Diff(made[0], made[1]); diff != "" {
		t.Errorf("two builds of one commit differ:\n%s", diff)
	}
	complete(t, made[0], here.Arch)
}

// complete checks that everything is there that a release for Linux has.
func complete(t *testing.T, made map[string]string, arch string) {
	t.Helper()
	rpm := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
	want := []string{"SHA256SUMS", "joinery-deploy_v0.3.0.tar.gz", "joinery_v0.3.0_linux_" + arch + ".tar.gz"}
	for _, name := range []string{program.Agent, program.Controller, program.Operator} {
		want = append(want, name+"_0.3.0_"+arch+".deb", name+"-0.3.0-1."+rpm+".rpm", name+"_v0.3.0_linux_"+arch+".cdx.json")
	}
	plugin := program.Plugin + "_v0.3.0_"
	want = append(want, plugin+"SHA256SUMS", plugin+"x5.0_linux_"+arch+".zip", plugin+"linux_"+arch+".cdx.json")
	for _, name := range want {
		if made[name] == "" {
			t.Errorf("the release lacks %s", name)
		}
	}
	if len(made) != len(want) && !*cold {
		t.Errorf("%d files, want %d", len(made), len(want))
	}
}

// What git does not know cannot be built again by anyone.
func TestReleaseRefusesWhatIsNotCommitted(t *testing.T) {
	root := t.TempDir()
	checkout(t, root)
	if err := os.WriteFile(filepath.Join(root, "cmd", "joinery", "more.go"), []byte("package main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := request{root: root, out: filepath.Join(t.TempDir(), "dist"), platforms: []program.Platform{{OS: "linux", Arch: runtime.GOARCH}}}
	err := r.build(t.Context(), &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "the tree differs from commit") {
		t.Errorf("%v", err)
	}
}
