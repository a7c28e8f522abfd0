// Package alerts_test checks what the alerts say against the code. That their queries are
// Prometheus's and read metrics that there are, deploy/render tests.
package alerts_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/images"
)

// rules is a Prometheus rule file.
type rules struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func load(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile("joinery.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file rules
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	var out []rule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) < 20 {
		t.Fatalf("only %d alerts", len(out))
	}
	return out
}

// sources are the texts of what the controller consists of.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"controlplane", "autoscaler", "cmd/joinery-controller"} {
		err := filepath.WalkDir(filepath.Join("..", "..", filepath.FromSlash(dir)), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

var selector = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)

// queries are what alerts and dashboard ask, by alert and by panel.
func queries(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, r := range load(t) {
		out[r.Alert] = []string{r.Expr}
	}
	text, err := os.ReadFile("../dashboard/joinery.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			out[p.Title] = append(out[p.Title], strings.ReplaceAll(q.Expr, `job="$job"`, ""))
		}
	}
	return out
}

// What a label is compared with is something that the code says, or AWS.
func TestEveryLabelValueExists(t *testing.T) {
	code := sources(t)
	aws := []string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "ParameterNotFound", "SQS"}
	checked := 0
	for name, all := range queries(t) {
		for _, m := range selector.FindAllStringSubmatch(strings.Join(all, "\n"), -1) {
			for value := range strings.SplitSeq(m[3], "|") {
				checked++
				if !strings.Contains(code, `"`+value+`"`) && !slices.Contains(aws, value) {
					t.Errorf("%s: %s is never %q", name, m[1], value)
				}
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d values checked", checked)
	}
}

// Each verdict that a person should see (csr, Verdict.alarming) has an alert.
func TestAlarmingVerdictsHaveAlerts(t *testing.T) {
	var all strings.Builder
	for _, r := range load(t) {
		all.WriteString(r.Expr)
	}
	for _, want := range []string{"SecondClaimant", "Regranted", "TooManyHeld", "UnknownToken", `verdict="Deny"`, "ProofMissing", "ProofOtherKind",
		"joinery_unsafe_auto_approval", "joinery_legacy_token_enabled", "joinery_leader"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no alert for %s", want)
		}
	}
}

// Each problem of an image belongs to one alert, and those that keep nodes from joining
// to the critical one.
func TestEveryImageProblemHasItsAlert(t *testing.T) {
	var expressions = map[string]string{}
	for _, r := range load(t) {
		expressions[r.Alert] = r.Expr
	}
	reason := regexp.MustCompile(`joinery_image_problem\{reason(=~|!~)"([^"]+)"\}`)
	unusable, outdated := reason.FindStringSubmatch(expressions["JoineryImageUnusable"]), reason.FindStringSubmatch(expressions["JoineryImageOutdated"])
	if unusable == nil || outdated == nil || unusable[1] != "=~" || outdated[1] != "!~" || unusable[2] != outdated[2] {
		t.Fatalf("the two do not share out the reasons: %q, %q", unusable, outdated)
	}
	critical := strings.Split(unusable[2], "|")
	for _, i := range []images.Image{
		{ID: "ami-1", Gone: true}, {ID: "ami-1"},
		image("1.38.0", "9.0.0"), image("1.10.0", "0.1.0"), image("latest", "latest"),
	} {
		found, err := images.Judge(i, images.Versions{APIServer: "v1.37.2", Joinery: "v0.5.0"})
		if err != nil || len(found) == 0 {
			t.Fatalf("%+v: %+v, %v", i, found, err)
		}
		for _, p := range found {
			if slices.Contains(critical, string(p.Reason)) != p.Keeps {
				t.Errorf("%s: keeps nodes from joining: %t, critical: %v", p.Reason, p.Keeps, critical)
			}
		}
	}
}

func image(kubelet, agent string) images.Image {
	return images.Image{ID: "ami-1", Tags: map[string]string{v1alpha1.KubernetesVersionTag: kubelet, v1alpha1.JoineryVersionTag: agent}}
}

func TestAlertsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range load(t) {
		if !regexp.MustCompile(`^Joinery[A-Z]\w+$`).MatchString(r.Alert) || seen[r.Alert] {
			t.Errorf("name %q", r.Alert)
		}
		seen[r.Alert] = true
		if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: severity %q, annotations %v", r.Alert, r.Labels["severity"], r.Annotations)
		}
	}
}
