package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSmoke plans every kind of row in small and looks at both plans.
func TestSmoke(t *testing.T) {
	results, err := runAll(smokeRows(), regexp.MustCompile(""), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Valid || r.Peer != "" && !r.PeerValid {
			t.Errorf("%s: ours valid %v, the peer's %v: %s", r.Workload, r.Valid, r.PeerValid, r.Problem)
		}
		if r.OurUnplaced != 0 || r.PeerUnplaced != 0 {
			t.Errorf("%s: ours leaves %d pods, the peer %d", r.Workload, r.OurUnplaced, r.PeerUnplaced)
		}
		if r.OurNodes < r.LowerBoundNodes {
			t.Errorf("%s: %d nodes are less than the bound of %d", r.Workload, r.OurNodes, r.LowerBoundNodes)
		}
		if r.OurSeconds <= 0 || r.OurAllocs == 0 || r.Peer != "" && r.Ratio <= 0 {
			t.Errorf("%s: not measured: %+v", r.Workload, r)
		}
	}
	readBack(t, results)
}

// readBack writes the results and finds every field of every row again.
func readBack(t *testing.T, results []Result) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "new", "bench.json")
	if err := writeJSON(path, results); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(data, &rows); err != nil || len(rows) != len(results) {
		t.Fatalf("read %d of %d rows back: %v", len(rows), len(results), err)
	}
	for _, row := range rows {
		for _, field := range []string{"workload", "kind", "pods", "nodes", "groups", "peer", "peerSeconds", "ourSeconds", "ourColdSeconds", "ratio",
			"peerNodes", "ourNodes", "lowerBoundNodes", "ourAllocs", "ourPeakBytes", "valid", "peerValid", "problem", "runs",
			"peerWorkers", "caSeconds", "caRatio", "ourCost", "peerCost", "ourUnplaced", "peerUnplaced"} {
			if _, ok := row[field]; !ok {
				t.Errorf("%v has no %s", row["workload"], field)
			}
		}
	}
}

func TestRowsAreNamedOnce(t *testing.T) {
	for _, rows := range [][]row{fullRows(), smokeRows()} {
		var names []string
		for _, r := range rows {
			names = append(names, r.String())
		}
		slices.Sort(names)
		if len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("a row stands twice: %s", strings.Join(names, " "))
		}
	}
}

func TestBadRowsAreAnError(t *testing.T) {
	for _, only := range []string{"^nothing$", "("} {
		if err := bench(true, only, filepath.Join(t.TempDir(), "bench.json")); err == nil {
			t.Errorf("-rows %s is no error", only)
		}
	}
}

func TestTableHasALineForEachRow(t *testing.T) {
	var out strings.Builder
	if err := writeTable(&out, []Result{{Workload: "a", Valid: true}, {Workload: "b", Problem: "no"}}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != 4 {
		t.Errorf("%d lines, want a head, two rows and a note:\n%s", got, out.String())
	}
	if err := writeTable(brokenPipe{}, []Result{{}}); err == nil {
		t.Error("a table that nobody got is no error")
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
