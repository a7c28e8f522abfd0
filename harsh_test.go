package joinery_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// simulations are the packages whose users act on a simulated AWS.
var simulations = []string{module + "/lab/awssim", module + "/lab/simcluster"}

// kindOnly are packages with tests on a simulated AWS that `make test` does not run
// again under a harsh one, and why. The others are all in the Makefile's HARSH.
var kindOnly = map[string]string{
	"autoscaler/loop":  "passes, and takes minutes: in `make nightly`",
	"deploy/terraform": "OpenTofu's minutes, once",
	"lab/awssim":       "tests of the weather itself, which each sets",
}

// TestHarshIsComplete holds every package with tests on a simulated AWS to one of two
// lists: run again under a harsh one, or not, with the reason.
func TestHarshIsComplete(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	harsh := makeList(t, string(makefile), "HARSH")
	machines := makeList(t, string(makefile), "MACHINES")
	machines = append(machines, "lab/companions", "lab/soak")
	used := map[string]bool{}
	for _, p := range listPackages(t) {
		path := p.path()
		if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 || !simulates(p) || under(path, machines) && path != "lab/soak/invariant" {
			continue
		}
		used[path] = true
		reason, left := kindOnly[path]
		switch run := under(path, harsh); {
		case !run && !left:
			t.Errorf("%s has tests on a simulated AWS: add it to HARSH in the Makefile", path)
		case run && left:
			t.Errorf("%s is in HARSH, and left out of it (%s)", path, reason)
		}
	}
	for path := range kindOnly {
		if !used[path] {
			t.Errorf("%s has no tests on a simulated AWS: take it out of kindOnly", path)
		}
	}
}

func simulates(p goPackage) bool {
	imports := slices.Concat(p.Imports, p.TestImports, p.XTestImports)
	return slices.ContainsFunc(imports, func(i string) bool { return slices.Contains(simulations, i) })
}

// makeList is a variable of the Makefile that lists packages, as paths.
func makeList(t *testing.T, makefile, name string) (paths []string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^` + name + ` := (.*)$`).FindStringSubmatch(makefile)
	if line == nil {
		t.Fatalf("the Makefile has no list %s", name)
	}
	for _, f := range strings.Fields(line[1]) {
		paths = append(paths, strings.TrimSuffix(strings.TrimPrefix(f, "./"), "/..."))
	}
	return paths
}
