package guide_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/docs/guide"
	"github.com/joinery/joinery/lab/binaries"
)

// The operator's guide is a path of two pages: release/guide follows them. Here they are
// held to what can be seen without machines.
func TestOperatorsGuide(t *testing.T) {
	for name, least := range map[string]int{"operate.md": 30, "maintain.md": 20} {
		run, seen := 0, 0
		blocks := page(t, name)
		for _, b := range blocks {
			if b.Off != "" {
				exists(t, b)
				continue
			}
			run++
			if b.Want != "" {
				seen++
			}
		}
		if off := len(blocks) - run; run < least || off > run/10 {
			t.Errorf("%s: %d blocks are run and %d are not", name, run, off)
		}
		if seen < run/2 {
			t.Errorf("%s: %d of %d blocks say what one should see", name, seen, run)
		}
	}
}

// The page on maintenance goes on after a chapter of the first page.
func TestInstallationIsAChapter(t *testing.T) {
	var scripts strings.Builder
	for _, b := range operatorsGuide(t) {
		if b.Chapter == "Installation" {
			scripts.WriteString(b.Script)
		}
	}
	for _, command := range []string{"export CLUSTER=", "take-image.sh", "--min-size 1"} {
		if !strings.Contains(scripts.String(), command) {
			t.Errorf("the chapter Installation has no %q", command)
		}
	}
	for _, command := range []string{"previous/", "joinery uninstall"} {
		if strings.Contains(scripts.String(), command) {
			t.Errorf("the chapter Installation has %q", command)
		}
	}
}

// release is a version of Kubernetes as the pages write it.
var release = regexp.MustCompile(`v?1\.\d+\.\d+`)

// The cluster that is maintained goes from one version of the lab's to the other.
func TestMaintenanceNamesTheLabsVersions(t *testing.T) {
	text, err := os.ReadFile("../maintain.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, v := range release.FindAllString(string(text), -1) {
		seen["v"+strings.TrimPrefix(v, "v")] = true
	}
	want := map[string]bool{binaries.PreviousKubernetes: true, binaries.KubernetesVersion: true}
	if !maps.Equal(seen, want) {
		t.Errorf("it names the versions %v, the lab has %v", seen, want)
	}
}

func operatorsGuide(t *testing.T) []guide.Block { return page(t, "operate.md") }

func page(t *testing.T, name string) []guide.Block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := guide.Parse("docs/"+name, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// What has to come first does. A machine cannot tell: certificates end months later, and
// the simulated account has one VPC.
func TestOperatorsGuideInOrder(t *testing.T) {
	blocks := operatorsGuide(t)
	first := func(command string) int {
		return slices.IndexFunc(blocks, func(b guide.Block) bool { return strings.Contains(b.Script, command) })
	}
	for _, tt := range [][2]string{
		{"joinery adopt --all --config", "joinery doctor"},
		{"joinery doctor", "kubectl delete clusterrolebinding"},
		{"export VPC=", "aws ec2 describe-subnets --filters Name=vpc-id,Values=$VPC"},
		{"SECURITY_GROUP=", `"SecurityGroupIds": ["$SECURITY_GROUP"]`},
		{"export AWS_DEFAULT_REGION=", "aws iam"},
	} {
		if before, after := first(tt[0]), first(tt[1]); before < 0 || after <= before {
			t.Errorf("%q is in block %d and %q in block %d", tt[0], before, tt[1], after)
		}
	}
}

// exists holds that there is the test that looks at a block in place of running it.
func exists(t *testing.T, b guide.Block) {
	t.Helper()
	dir, name, _ := strings.Cut(b.Test, ".")
	files, err := filepath.Glob(filepath.Join("..", "..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^func ` + name + `\(`).Match(text) {
			return
		}
	}
	t.Errorf("%s: test=%s: there is no such test", b.Place(), b.Test)
}
