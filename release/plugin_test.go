package main

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/joinery/joinery/release/program"
)

// packer init downloads the archive of its platform, compares it with the list, unpacks
// the one file of its name, and asks that for its version.
func TestPluginIsAsPackerInitExpects(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	checkout(t, root)
	here := program.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	if err := (request{root: root, out: out, platforms: []program.Platform{here}}).plugins(t.Context(), t.TempDir(), "v0.3.0"); err != nil {
		t.Fatal(err)
	}
	name := "packer-plugin-joinery_v0.3.0_x5.0_" + here.String()
	archived, err := os.ReadFile(filepath.Join(out, name+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(out, "packer-plugin-joinery_v0.3.0_SHA256SUMS"))
	sum := sha256.Sum256(archived)
	if want := hex.EncodeToString(sum[:]) + "  " + name + ".zip\n"; err != nil || string(list) != want {
		t.Errorf("the list is %q (%v), want %q", list, err, want)
	}
	text, err := exec.CommandContext(t.Context(), unpack(t, filepath.Join(out, name+".zip"), name), "describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Version    string `json:"version"`
		APIVersion string `json:"api_version"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Version != "0.3.0" || d.APIVersion != "x5.0" {
		t.Errorf("it describes itself as %+v", d)
	}
}

// unpack unpacks an archive that holds one file of that name.
func unpack(t *testing.T, file, name string) string {
	t.Helper()
	r, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.File) != 1 || r.File[0].Name != name {
		t.Fatalf("%s does not hold %s alone", file, name)
	}
	in, err := r.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(to, data, r.File[0].Mode()); err != nil {
		t.Fatal(err)
	}
	return to
}
