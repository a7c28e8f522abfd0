package alerts_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	runbooks    = "../../docs/runbooks"
	metricsPage = "../../docs/metrics.md"
	// runbookBase is where alerts say that their runbooks are; the chart has a value for it.
	runbookBase = "https://github.com/joinery/joinery/blob/main/docs/runbooks/"
)

var (
	link   = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	series = regexp.MustCompile(`\bjoinery_[a-z_]+\b`)
	// What a page tells to look at or to change in the tree.
	shipped = regexp.MustCompile("`?(deploy/[a-z/.-]+\\.(?:yaml|json))")
)

// Each alert names its runbook, and the page is there with all of its parts.
func TestEveryAlertHasItsRunbook(t *testing.T) {
	for _, r := range load(t) {
		if want := runbookBase + r.Alert + ".md"; r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %q, expected %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		text, err := os.ReadFile(filepath.Join(runbooks, r.Alert+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		page := string(text)
		at := 0
		for _, part := range []string{"# " + r.Alert + "\n\nSeverity: " + r.Labels["severity"] + ".\n", "\n## What it means\n", "\n## How to see it\n\n- ", "\n## What to do\n\n- "} {
			i := strings.Index(page[at:], part)
			if i < 0 {
				t.Errorf("%s.md: %q is missing or not in its place", r.Alert, part)
				break
			}
			at += i
		}
	}
}

func TestEveryRunbookHasItsAlert(t *testing.T) {
	known := map[string]bool{}
	for _, r := range load(t) {
		known[r.Alert+".md"] = true
	}
	pages, err := os.ReadDir(runbooks)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if !known[p.Name()] {
			t.Errorf("%s: no alert has this name", p.Name())
		}
	}
}

// What a runbook names exists: other pages, metrics, files of the tree.
func TestRunbooksNameWhatThereIs(t *testing.T) {
	metrics, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pages {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		page := string(text)
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if _, err := os.Stat(filepath.Join(runbooks, m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, m := range series.FindAllString(page, -1) {
			if !strings.Contains(string(metrics), "| `"+m+"` |") {
				t.Errorf("%s: no metric %s", name, m)
			}
		}
		for _, m := range shipped.FindAllStringSubmatch(page, -1) {
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
