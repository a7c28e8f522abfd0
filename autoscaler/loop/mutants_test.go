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
	// seeds are how many worlds at most show it; finds is one of the invariants that it
	// breaks.
	seeds int
	finds string
}

// One for each kind of fault that the worlds are to find, at least.
// There is one for each kind of fault that the worlds are to find, at least.
var allMutants = []mutant{
	{"what was bought in vain is bought again", "expectation/pause.go", "at, at.Add(p.Step), cause, false", "at, at, cause, false", 60, boughtOnce},
	{"what failed is expected again", "cluster/types.go", "return !g.DoubtedSince.IsZero() && ", "return false && ", 60, boughtOnce},
	{"nodes go at once", "scaledown/candidates.go", "c.setWait(p.now, c.since.Add(p.unneededTime(c)), p.coolDown(c.group))", "c.setWait(p.now, p.now, p.now)", 60, noSeeSaw},
	{"pods find no place", "scaledown/decide.go", "	if stuck != nil {", "	if stuck != nil && p.now.IsZero() {", 60, placeFound},
	{"dead nodes stay", "scaledown/candidates.go", "cause == NotReady && p.lost(c)", "cause == NotReady && p.now.IsZero()", 60, deadGoes},
	{"a pod that must not be moved is", "scaledown/rules/pod.go", "{\"safe-to-evict\", safeToEvict},", "", 60, pinnedStays},
	{"a retired group stays", "cluster/types.go", "return max(0, members-max(0, g.Desired)-bare)", "return 0 * (members - bare)", 100, idleGoes},
}

// TestWorldsFindMutants puts each fault into the autoscaler and lives through worlds until
// one shows it.
func TestWorldsFindMutants(t *testing.T) {
	if !*mutants {
		t.Skip("for make nightly, and make test runs it by itself: -mutants")
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
				t.Errorf("%d worlds do not show it by %q: %v\n%s", m.seeds, m.finds, err, out)
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
	printed, err := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay", list, "-run", "TestRandomWorlds", ".", "-failfast", "-seeds", fmt.Sprint(m.seeds), "-smallest=false").CombinedOutput()
	return string(printed), err
}
