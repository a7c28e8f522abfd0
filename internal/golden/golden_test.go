package golden_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/joinery/joinery/internal/golden"
)

// recorder is a test that goes on after it failed, and remembers why.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, _ ...any) { r.failures = append(r.failures, format) }

func TestCheckFailsWhereTheFileDiffers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(file, []byte("one\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]int{"one\n": 0, "two\n": 1, "one": 1, "": 1} {
		r := &recorder{TB: t}
		golden.Check(r, file, got)
		if len(r.failures) != want {
			t.Errorf("%q: %q", got, r.failures)
		}
	}
}

func TestUpdateWritesAndFails(t *testing.T) {
	if err := flag.Set("update", "true"); err != nil {
		t.Fatal(err)
	}
	defer flag.Set("update", "false")
	file, r := filepath.Join(t.TempDir(), "new", "a"), &recorder{TB: t}
	golden.Check(r, file, "one\n")
	if text, err := os.ReadFile(file); err != nil || string(text) != "one\n" {
		t.Errorf("%q, %v", text, err)
	}
	if len(r.failures) != 1 || !strings.Contains(r.failures[0], "written again") {
		t.Errorf("%q", r.failures)
	}
}
