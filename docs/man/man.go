// Package man keeps the manual pages of the programs true to their commands. The pages
// lie beside it, a directory for each program; packages take them from there. Only tests
// import it, so that no program carries what renders a page.
package man

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Check compares the pages of a program, in a section of the manual, with its commands.
// dir is the directory of this package, as the test sees it. With update it writes the
// pages and fails.
func Check(t *testing.T, dir string, root *cobra.Command, section string, update bool) {
	t.Helper()
	made := render(t, root, section)
	kept := filepath.Join(dir, root.Name())
	if update {
		if err := os.RemoveAll(kept); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(kept, os.DirFS(made)); err != nil {
			t.Fatal(err)
		}
		t.Fatal("manual pages written: look at the difference and run again without -update")
	}
	if diff := cmp.Diff(read(t, kept), read(t, made)); diff != "" {
		t.Errorf("docs/man differs from the commands: go test ./cmd/%s -update\n(-docs/man +commands):\n%s", root.Name(), diff)
	}
}

// render writes the pages into a directory.
func render(t *testing.T, root *cobra.Command, section string) string {
	t.Helper()
	dir := t.TempDir()
	root.DisableAutoGenTag = true
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	undated := time.Time{}
	err := doc.GenManTree(root, &doc.GenManHeader{Section: section, Date: &undated, Source: "Joinery", Manual: "Joinery"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range read(t, dir) {
		// A page changes with its command and not with the month in which it was rendered.
		text = strings.Replace(text, undated.Format("Jan 2006"), "", 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// read returns name -> text of the pages in dir.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(f)] = string(text)
	}
	return pages
}
