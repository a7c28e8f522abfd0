// Package joinery_test holds the rules that the whole tree keeps: who may
// import whom, what a package is called, and that it says what it is for.
package joinery_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/joinery/joinery"

// goPackage is the part of `go list -json` that the rules read.
type goPackage struct {
	ImportPath, Name, Doc, Dir string
	GoFiles                    []string
	TestGoFiles, XTestGoFiles  []string
	Imports, Deps              []string
	TestImports, XTestImports  []string
}

func (p goPackage) path() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Env = append(cmd.Environ(), "GOOS=linux")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// importRules say what a package under one of the paths may never depend on,
// directly or not, and why.
var importRules = []struct {
	name      string
	from      []string
	forbidden []string
	why       string
}{
	{"api is a leaf", []string{"api"}, []string{module + "/", "k8s.io/client-go", "github.com/aws/"},
		"everybody imports the contracts"},
	{"waiting is a leaf", []string{"internal/wait"}, []string{module + "/", "k8s.io/", "github.com/aws/"},
		"agent and autoscaler both wait with it"},
	{"quoting and redacting are leaves", []string{"internal/quote", "internal/redact", "internal/version"}, []string{module + "/", "k8s.io/", "github.com/aws/"},
		"everything that speaks to people quotes with them"},
	{"output is next to the leaves", []string{"internal/output"},
		[]string{module + "/agent", module + "/autoscaler", module + "/controlplane", module + "/cmd", module + "/lab", module + "/internal/binding", "k8s.io/", "github.com/aws/"},
		"every program and every package that speaks to people goes through it"},
	{"the vocabulary is a leaf", []string{"internal/kube"},
		[]string{module + "/agent", module + "/autoscaler", module + "/controlplane", module + "/lab", module + "/internal/binding", "k8s.io/client-go", "k8s.io/kubernetes", "github.com/aws/"},
		"agent, planner and controller share its predicates"},
	{"systemd is a leaf", []string{"systemd"}, []string{module + "/", "k8s.io/", "github.com/aws/"},
		"the units are data"},
	{"baking knows the units only", []string{"packer"}, []string{module + "/agent", module + "/controlplane", module + "/autoscaler", module + "/api", "k8s.io/", "github.com/aws/"},
		"an image is made by whoever has the files and a machine, with no cluster and no account"},
	{"the image's checks do not know how it is made", []string{"packer/check"}, []string{module + "/packer/bake"},
		"a step that does the wrong thing must not take its check along"},
	{"userdata knows the contracts only", []string{"userdata"}, []string{module + "/agent", module + "/controlplane", module + "/autoscaler", "k8s.io/client-go", "github.com/aws/"},
		"the planner and the agent read the same user data with it"},
	{"identity is pure", []string{"internal/identity"}, []string{module + "/agent/", module + "/controlplane", "k8s.io/client-go", "github.com/aws/"},
		"agent and approver must compute the same name"},
	{"the fleet's model is pure", []string{"internal/fleet"}, []string{module + "/agent", module + "/controlplane", module + "/autoscaler", module + "/lab", "k8s.io/client-go"},
		"control plane and autoscaler both build on it"},
	{"the binding is pure", []string{"internal/binding"}, []string{module + "/agent", module + "/controlplane", module + "/autoscaler", module + "/lab"},
		"control plane and autoscaler both ask it"},
	{"the control plane knows no autoscaler", []string{"controlplane"}, []string{module + "/autoscaler"},
		"what both need is below both"},
	{"the autoscaler knows no control plane", []string{"autoscaler"}, []string{module + "/controlplane"},
		"what both need is below both"},
	{"a node never acts on AWS", []string{"agent", "cmd/joinery-agent"}, []string{module + "/controlplane", module + "/autoscaler", module + "/lab",
		"github.com/aws/aws-sdk-go-v2/service/autoscaling", "github.com/aws/aws-sdk-go-v2/service/ec2"},
		"no AWS write of any kind comes from a node"},
	{"planners do no I/O", []string{"autoscaler/cluster", "autoscaler/fit", "autoscaler/scaleup", "autoscaler/scaledown", "autoscaler/expectation"},
		[]string{"github.com/aws/", module + "/autoscaler/asg", module + "/autoscaler/act", module + "/autoscaler/loop", module + "/controlplane", module + "/agent"},
		"a plan is a value made of a snapshot and a time"},
	{"the validator is independent of the planners", []string{"autoscaler/validate"},
		[]string{"github.com/aws/", module + "/autoscaler/scale", module + "/autoscaler/asg", module + "/autoscaler/act", module + "/autoscaler/loop",
			module + "/autoscaler/explain", module + "/controlplane", module + "/agent", module + "/userdata", module + "/lab"},
		"it sees what a planner gets wrong only when it knows no more of this module than cluster and fit"},
	{"the lab is never shipped", []string{"cmd/joinery", "cmd/joinery-agent", "cmd/joinery-controller", "agent", "controlplane", "autoscaler", "userdata", "deploy", "packer"},
		[]string{module + "/lab", module + "/internal/golden"}, "production binaries carry no test hook"},
	{"the cluster in memory knows no service", []string{"lab/simcluster"}, []string{module + "/lab/machine", module + "/lab/cluster", module + "/agent", module + "/controlplane", module + "/autoscaler"},
		"tests of every service build on it"},
	{"the simulated AWS stands alone", []string{"lab/awssim"}, []string{module + "/lab/simcluster", module + "/lab/machine", module + "/lab/cluster", module + "/agent", module + "/controlplane", module + "/autoscaler"},
		"it behaves as AWS documents, not as we would like"},
}

func TestImports(t *testing.T) {
	packages := listPackages(t)
	for _, rule := range importRules {
		t.Run(rule.name, func(t *testing.T) {
			checked := 0
			for _, p := range packages {
				if !under(p.path(), rule.from) {
					continue
				}
				checked++
				for _, dep := range p.Deps {
					if dep != p.ImportPath && forbidden(dep, rule.forbidden) && !within(dep, rule.from) {
						t.Errorf("%s depends on %s: %s", p.path(), dep, rule.why)
					}
				}
			}
			if checked == 0 {
				t.Error("the rule holds for no package: its paths are wrong")
			}
		})
	}
}

func under(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return path == r || strings.HasPrefix(path, r+"/") })
}

func within(dep string, roots []string) bool {
	path, ours := strings.CutPrefix(dep, module+"/")
	return ours && under(path, roots)
}

func forbidden(dep string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(f string) bool { return strings.HasPrefix(dep, f) })
}

// plannersDirect is what the planners may import of this module.
func TestPlannersImportClusterAndFitOnly(t *testing.T) {
	allowed := []string{module + "/internal/fleet", module + "/autoscaler/cluster", module + "/autoscaler/fit", module + "/api/v1alpha1", module + "/internal/kube"}
	const drainRules = module + "/autoscaler/scaledown/rules"
	for _, p := range listPackages(t) {
		if p.path() != "autoscaler/scaleup" && p.path() != "autoscaler/scaledown" {
			continue
		}
		for _, imported := range p.Imports {
			ownRules := imported == drainRules && p.path() == "autoscaler/scaledown"
			if strings.HasPrefix(imported, module) && !slices.Contains(allowed, imported) && !ownRules {
				t.Errorf("%s imports %s", p.path(), imported)
			}
		}
	}
}

func TestPackageNamesAndDocs(t *testing.T) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "manager", "base", "misc"}
	for _, p := range listPackages(t) {
		if slices.Contains(empty, p.Name) || slices.Contains(empty, filepath.Base(p.ImportPath)) {
			t.Errorf("%s: the name says nothing", p.path())
		}
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s: no package comment", p.path())
		}
	}
}
