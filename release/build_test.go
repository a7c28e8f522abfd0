package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/lab/checkout"
	"github.com/joinery/joinery/release/program"
)

var cold = flag.Bool("cold", false, "release for all platforms, and compile the second time from nothing (half an hour)")

// version is that of the release.
const version = "v0.3.0"

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
	platforms := []program.Platform{{OS: "linux", Arch: runtime.GOARCH}}
	if *cold {
		platforms = everywhere
	}
	origin := t.TempDir()
	if err := checkout.Copy(t.Context(), "..", origin, version); err != nil {
		t.Fatal(err)
	}
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
		if err := checkout.At(t.Context(), origin, root, version); err != nil {
			t.Fatal(err)
		}
		var report bytes.Buffer
		if err := (request{root: root, out: out, platforms: platforms}).build(t.Context(), &report); err != nil {
			t.Fatal(err)
		}
		if want := platforms[0].String() + " v0.3.0\n"; !strings.HasPrefix(report.String(), want) {
			t.Errorf("reported %q, want %q", report.String(), want)
		}
		made = append(made, sums(t, out))
	}
	if diff := cmp.Diff(made[0], made[1]); diff != "" {
		t.Errorf("two builds of one commit differ:\n%s", diff)
	}
	complete(t, made[0], platforms)
}

// whole lists the files of a release for all platforms. An operator of any of them has to
// find theirs.
const whole = `SHA256SUMS
joinery-deploy_v0.3.0.tar.gz
packer-plugin-joinery_v0.3.0_SHA256SUMS

joinery_v0.3.0_linux_amd64.tar.gz
joinery_0.3.0_amd64.deb
joinery-0.3.0-1.x86_64.rpm
joinery_v0.3.0_linux_amd64.cdx.json
joinery-agent_0.3.0_amd64.deb
joinery-agent-0.3.0-1.x86_64.rpm
joinery-agent_v0.3.0_linux_amd64.cdx.json
joinery-controller_0.3.0_amd64.deb
joinery-controller-0.3.0-1.x86_64.rpm
joinery-controller_v0.3.0_linux_amd64.cdx.json
packer-plugin-joinery_v0.3.0_x5.0_linux_amd64.zip
packer-plugin-joinery_v0.3.0_linux_amd64.cdx.json

joinery_v0.3.0_linux_arm64.tar.gz
joinery_0.3.0_arm64.deb
joinery-0.3.0-1.aarch64.rpm
joinery_v0.3.0_linux_arm64.cdx.json
joinery-agent_0.3.0_arm64.deb
joinery-agent-0.3.0-1.aarch64.rpm
joinery-agent_v0.3.0_linux_arm64.cdx.json
joinery-controller_0.3.0_arm64.deb
joinery-controller-0.3.0-1.aarch64.rpm
joinery-controller_v0.3.0_linux_arm64.cdx.json
packer-plugin-joinery_v0.3.0_x5.0_linux_arm64.zip
packer-plugin-joinery_v0.3.0_linux_arm64.cdx.json

joinery_v0.3.0_darwin_amd64.tar.gz
joinery_v0.3.0_darwin_amd64.cdx.json
packer-plugin-joinery_v0.3.0_x5.0_darwin_amd64.zip
packer-plugin-joinery_v0.3.0_darwin_amd64.cdx.json

joinery_v0.3.0_darwin_arm64.tar.gz
joinery_v0.3.0_darwin_arm64.cdx.json
packer-plugin-joinery_v0.3.0_x5.0_darwin_arm64.zip
packer-plugin-joinery_v0.3.0_darwin_arm64.cdx.json

joinery_v0.3.0_windows_amd64.zip
joinery_v0.3.0_windows_amd64.cdx.json
packer-plugin-joinery_v0.3.0_x5.0_windows_amd64.zip
packer-plugin-joinery_v0.3.0_windows_amd64.cdx.json
`

// complete checks that there is what whole lists for the platforms, and nothing else.
func complete(t *testing.T, made map[string]string, platforms []program.Platform) {
	t.Helper()
	parts := strings.Split(whole, "\n\n")
	if len(parts) != 1+len(everywhere) {
		t.Fatalf("%d platforms are listed, %d are released for", len(parts)-1, len(everywhere))
	}
	want := strings.Fields(parts[0])
	for _, part := range parts[1:] {
		first, _, _ := strings.Cut(part, "\n")
		if slices.ContainsFunc(platforms, func(p program.Platform) bool { return strings.Contains(first, "_"+p.String()+".") }) {
			want = append(want, strings.Fields(part)...)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(made))); diff != "" {
		t.Errorf("the release differs from its list (-list +made):\n%s", diff)
	}
}

// What git does not know cannot be built again by anyone.
func TestReleaseRefusesWhatIsNotCommitted(t *testing.T) {
	root := t.TempDir()
	if err := checkout.Copy(t.Context(), "..", root, version); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "cmd", "joinery", "more.go"), []byte("package main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := request{root: root, out: filepath.Join(t.TempDir(), "dist"), platforms: []program.Platform{{OS: "linux", Arch: runtime.GOARCH}}}
	err := r.build(t.Context(), &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "the tree differs from commit") {
		t.Errorf("%v", err)
	}
}
