package debs

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func made(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindTellsPackagesApart(t *testing.T) {
	suffix := "_0.1.0~rc.1_" + runtime.GOARCH + ".deb"
	dir := made(t, "SHA256SUMS", "joinery"+suffix, "joinery-agent"+suffix, "joinery-controller"+suffix, "joinery_0.1.0_riscv64.deb", "joinery-0.1.0-1.x86_64.rpm")
	got, err := find(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Set{"joinery": filepath.Join(dir, "joinery"+suffix), "joinery-agent": filepath.Join(dir, "joinery-agent"+suffix), "joinery-controller": filepath.Join(dir, "joinery-controller"+suffix)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A release that was cut short is made again and not used.
func TestFindRefusesHalfARelease(t *testing.T) {
	suffix := "_" + runtime.GOARCH + ".deb"
	for name, dir := range map[string]string{
		"no checksums": made(t, "joinery_1"+suffix, "joinery-agent_1"+suffix, "joinery-controller_1"+suffix),
		"no agent":     made(t, "SHA256SUMS", "joinery_1"+suffix, "joinery-controller_1"+suffix),
		"two versions": made(t, "SHA256SUMS", "joinery_1"+suffix, "joinery_2"+suffix, "joinery-agent_1"+suffix, "joinery-controller_1"+suffix),
		"nothing":      filepath.Join(t.TempDir(), "never"),
	} {
		if set, err := find(dir); err == nil {
			t.Errorf("%s: %v", name, set)
		}
	}
}
