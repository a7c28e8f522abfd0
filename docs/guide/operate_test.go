package guide_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/docs/guide"
)

// The operator's guide is a path: release/guide follows it. Here it is held to what can
// be seen without machines.
func TestOperatorsGuide(t *testing.T) {
	run, seen := 0, 0
	blocks := operatorsGuide(t)
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
	if off := len(blocks) - run; run < 30 || off > run/10 {
		t.Errorf("%d blocks are run and %d are not", run, off)
	}
	if seen < run/2 {
		t.Errorf("%d of %d blocks say what one should see", seen, run)
	}
}

func operatorsGuide(t *testing.T) []guide.Block {
	t.Helper()
	text, err := os.ReadFile("../operate.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := guide.Parse("docs/operate.md", string(text))
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
