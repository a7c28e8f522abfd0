package docs_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/lab/binaries"
)

// The matrix says tested of what the lab runs, and of nothing else.
func TestVersionsSayWhatIsTested(t *testing.T) {
	text, err := os.ReadFile("versions.md")
	if err != nil {
		t.Fatal(err)
	}
	var tested []string
	for _, row := range regexp.MustCompile(`(?m)^\| (v1\.\S+) \| tested`).FindAllStringSubmatch(string(text), -1) {
		tested = append(tested, row[1])
	}
	if !slices.Equal(tested, []string{binaries.KubernetesVersion}) {
		t.Errorf("the matrix says %v of tested versions, the lab runs %s", tested, binaries.KubernetesVersion)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for module, sentence := range map[string]string{
		"k8s.io/client-go":  "the Kubernetes libraries %.",
		"k8s.io/kubernetes": "the scheduler of Kubernetes %.",
	} {
		version := regexp.MustCompile(`(?m)^\t` + regexp.QuoteMeta(module) + ` (v\S+)`).FindStringSubmatch(string(mod))
		if version == nil {
			t.Fatalf("go.mod does not require %s", module)
		}
		if want := strings.Replace(sentence, "%", version[1], 1); !strings.Contains(string(text), want) {
			t.Errorf("versions.md lacks %q", want)
		}
	}
}
