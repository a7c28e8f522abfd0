package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/packer/bake"
)

// generated are what go generate writes.
func generated(path string) bool {
	return strings.HasSuffix(path, ".hcl2spec.go") || strings.HasPrefix(path, "docs-partials/") || strings.HasPrefix(path, ".web-docs/")
}

// files returns path -> text of the files of a directory that want has.
func files(t *testing.T, dir string, want func(path string) bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !want(path) {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The code and the documentation that follow from the block's definition are those of
// its present form. They are made anew in a copy: a test changes no source.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	// packer-sdc knows a plugin by the name of its directory.
	dir := filepath.Join(t.TempDir(), "packer-plugin-joinery")
	for path, text := range files(t, ".", func(path string) bool { return !generated(path) }) {
		to := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, "go", "mod", "edit", "-replace", "github.com/joinery/joinery="+root)
	run(t, dir, "go", "generate", "./...")
	want, got := files(t, dir, generated), files(t, ".", generated)
	if len(want) < 10 {
		t.Fatalf("only %d files were generated", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run go generate ./... (-generated +here):\n%s", diff)
	}
}

// The documentation repeats names and defaults of packer/bake.
func TestDocumentationNamesWhatTheBakeTakes(t *testing.T) {
	text, err := os.ReadFile(".web-docs/components/provisioner/node/README.md")
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(string(text)), " ")
	for _, name := range append(bake.Components(), bake.DefaultPauseImage, bake.DefaultContainerdPackage) {
		if !strings.Contains(flat, "`"+name+"`") {
			t.Errorf("the documentation does not name %s", name)
		}
	}
}
