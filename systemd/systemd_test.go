package systemd_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/systemd"
)

func TestNamesListsEveryFileHere(t *testing.T) {
	var here []string
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) != ".go" {
			here = append(here, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(here, systemd.Names()) {
		t.Errorf("the directory holds %v, Names gives %v", here, systemd.Names())
	}
	if _, err := systemd.Unit("nonsense.service"); err == nil {
		t.Error("found a unit that does not exist")
	}
}

var program = regexp.MustCompile(`(?m)^ExecStart=\S+`)

// TestSystemdAcceptsTheUnits asks systemd itself, with programs that exist in
// place of ours.
func TestSystemdAcceptsTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("systemd-analyze is not installed: units cannot be verified")
		}
		t.Log("left out: systemd-analyze is not installed")
		return
	}
	dir := t.TempDir()
	kubelet := "[Service]\nExecStart=/bin/true\n"
	if err := os.WriteFile(filepath.Join(dir, "kubelet.service"), []byte(kubelet), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, "kubelet.service")}
	for _, name := range systemd.Names() {
		text, err := systemd.Unit(name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, program.ReplaceAll(text, []byte("ExecStart=/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".service") {
			args = append(args, path)
		}
	}
	cmd := exec.Command(analyze, args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) {
			t.Errorf("systemd says: %s", line)
		}
	}
}
