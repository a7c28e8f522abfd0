// Package golden compares what a test got with a file that people read. The flag
// -update, of every test that imports it, writes the files again.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files again; the run then fails")

// Check compares got with the file, or writes it. A run that writes fails: it has
// compared nothing.
func Check(t testing.TB, file, got string) {
	t.Helper()
	if *update {
		if err := write(file, got); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s written again", file)
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; if it shall, run this package's test with -update (-file +got):\n%s", file, diff)
	}
}

func write(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}
