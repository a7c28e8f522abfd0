// Package alerts_test checks the alerts against the code whose metrics they read.
package alerts_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
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

var (
	named = regexp.MustCompile(`(?:Name:\s*|NewDesc\()"(joinery_[a-z_]+)"`)
	// The autoscaler gives its metrics their prefix in one place.
	prefixed = regexp.MustCompile(`(?:\bname|histogram)\("([a-z_]+)"`)
	metric   = regexp.MustCompile(`\bjoinery_[a-z_]+\b`)
	selector = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
)

func TestEveryMetricExists(t *testing.T) {
	code := sources(t)
	known := map[string]bool{}
	for _, m := range named.FindAllStringSubmatch(code, -1) {
		known[m[1]] = true
	}
	for _, m := range prefixed.FindAllStringSubmatch(code, -1) {
		known["joinery_autoscaler_"+m[1]] = true
	}
	if len(known) < 20 {
		t.Fatalf("only %d metrics found in the code", len(known))
	}
	for _, r := range load(t) {
		text := r.Expr
		for _, a := range r.Annotations {
			text += " " + a
		}
		used := metric.FindAllString(text, -1)
		if len(metric.FindAllString(r.Expr, -1)) == 0 {
			t.Errorf("%s reads no metric of Joinery's", r.Alert)
		}
		for _, name := range used {
			if base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, ""); !known[name] && !known[base] {
				t.Errorf("%s: no code has a metric %s", r.Alert, name)
			}
		}
	}
}

// What a label is compared with is something that the code says, or AWS.
func TestEveryLabelValueExists(t *testing.T) {
	code := sources(t)
	aws := []string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "ParameterNotFound", "SQS"}
	checked := 0
	for _, r := range load(t) {
		for _, m := range selector.FindAllStringSubmatch(r.Expr, -1) {
			for _, value := range strings.Split(m[3], "|") {
				checked++
				if !strings.Contains(code, `"`+value+`"`) && !slices.Contains(aws, value) {
					t.Errorf("%s: %s is never %q", r.Alert, m[1], value)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d values checked", checked)
	}
}

// Each verdict that a person should see (csr, Verdict.alarming) has an alert.
func TestAlarmingVerdictsHaveAlerts(t *testing.T) {
	var all strings.Builder
	for _, r := range load(t) {
		all.WriteString(r.Expr)
	}
	for _, want := range []string{"SecondClaimant", "Regranted", "TooManyHeld", "UnknownToken", `verdict="Deny"`, "ProofMissing",
		"joinery_unsafe_auto_approval", "joinery_legacy_token_enabled", "joinery_leader"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no alert for %s", want)
		}
	}
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
		for _, pair := range []string{"()", "{}", "[]"} {
			if strings.Count(r.Expr, pair[:1]) != strings.Count(r.Expr, pair[1:]) {
				t.Errorf("%s: %s do not match", r.Alert, pair)
			}
		}
		// What the summary shows must have survived the aggregation.
		for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
			if by := regexp.MustCompile(`by \(([^)]*)\)`).FindStringSubmatch(r.Expr); by != nil && !slices.Contains(strings.Split(by[1], ", "), m[1]) {
				t.Errorf("%s shows $labels.%s, which the expression drops", r.Alert, m[1])
			}
		}
	}
}
