package loop_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutants = flag.Bool("mutants", false, "check that TestRandomWorlds finds faults that are put into the autoscaler")

// mutant is a fault that is put into a file of the autoscaler.
type mutant struct {
	kind, file, old, new string
	// seed is of a world that shows it by an invariant.
	seed  uint64
	finds string
}

// There is one for each kind of fault that the worlds are to find, at least.
var allMutants = []mutant{
	{"what was bought in vain is bought again", "expectation/pause.go", "at, at.Add(p.Step), cause, false", "at, at, cause, false", 24, boughtOnce},
	{"what failed is expected again", "cluster/types.go", "return !g.DoubtedSince.IsZero() && ", "return false && ", 25, allRuns},
	{"pods find no place", "scaledown/decide.go", "	if stuck != nil {", "	if stuck != nil && p.now.IsZero() {", 25, placeFound},
	{"dead nodes stay", "scaledown/candidates.go", "cause == NotReady && p.lost(c)", "cause == NotReady && p.now.IsZero()", 10, deadGoes},
	{"a pod that must not be moved is", "scaledown/rules/pod.go", `{"safe-to-evict", safeToEvict},`, "", 13, pinnedStays},
	{"a retired group stays", "cluster/types.go", "return max(0, members-max(0, g.Desired)-bare)", "return 0 * (members - bare)", 26, idleGoes},
}

// TestWorldsFindMutants puts each fault into the autoscaler and lives through the world
// that shows it.
func TestWorldsFindMutants(t *testing.T) {
	if !*mutants {
		t.Skip("make nightly does it, with -mutants: each fault has the autoscaler compiled again")
	}
	for _, m := range allMutants {
		t.Run(m.kind, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", m.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), m.old); n != 1 {
				t.Fatalf("%s has %q %d times, want once", m.file, m.old, n)
			}
			out, err := withMutant(t, m, strings.Replace(string(text), m.old, m.new, 1))
			if err == nil || !strings.Contains(out, m.finds) {
				t.Errorf("world %d does not show it by %q: %v\n%s", m.seed, m.finds, err, out)
			}
		})
	}
}

func withMutant(t *testing.T, m mutant, text string) (out string, err error) {
	t.Helper()
	dir := t.TempDir()
	changed := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs(filepath.Join("..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	printed, err := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay", list, "-run", "TestRandomWorlds", ".", "-seed", fmt.Sprint(m.seed), "-smallest=false").CombinedOutput()
	return string(printed), err
}
