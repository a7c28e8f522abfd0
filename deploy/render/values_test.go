package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// others has another value for each one of values.yaml; with says which part must be
// enabled for it to count.
var others = map[string]struct {
	with  string
	value any
}{
	"labels":                 {"", map[string]any{"a": "b"}},
	"annotations":            {"", map[string]any{"a": "b"}},
	"legacy.enabled":         {"", true},
	"metrics.enabled":        {"", true},
	"metrics.readers":        {"metrics", []any{map[string]any{"namespace": "monitoring", "name": "prometheus"}}},
	"alerts.enabled":         {"", true},
	"alerts.name":            {"alerts", "rules"},
	"alerts.namespace":       {"alerts", "watch"},
	"alerts.labels":          {"alerts", map[string]any{"release": "kube-prometheus-stack"}},
	"alerts.ruleLabels":      {"alerts", map[string]any{"cluster": "prod"}},
	"alerts.runbookBase":     {"alerts", "https://runbooks.example/"},
	"alerts.tokenAgeSeconds": {"alerts", 43200},
	"dashboard.enabled":      {"", true},
	"dashboard.name":         {"dashboard", "board"},
	"dashboard.namespace":    {"dashboard", "watch"},
	"dashboard.labels":       {"dashboard", map[string]any{"grafana_dashboard": "yes"}},
	"dashboard.annotations":  {"dashboard", map[string]any{"grafana_folder": "Nodes"}},
}

// leaves returns the paths of a document's values; a map of the operator's own keys is
// one value.
func leaves(m map[string]any, prefix string) []string {
	var out []string
	for k, v := range m {
		below, isMap := v.(map[string]any)
		if isMap && prefix == "" && k != "labels" && k != "annotations" {
			out = append(out, leaves(below, k+".")...)
		} else {
			out = append(out, prefix+k)
		}
	}
	return out
}

func defaults(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, "chart", "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// setting is the values with one part enabled and one value set.
func setting(path string, value any, with string) map[string]any {
	values := map[string]any{}
	if with != "" {
		values[with] = map[string]any{"enabled": true}
	}
	section, key, nested := strings.Cut(path, ".")
	switch below, isMap := values[section].(map[string]any); {
	case !nested:
		values[path] = value
	case isMap:
		below[key] = value
	default:
		values[section] = map[string]any{key: value}
	}
	return values
}

func TestEveryValueHasAnEffect(t *testing.T) {
	for _, path := range leaves(defaults(t), "") {
		other, known := others[path]
		if !known {
			t.Errorf("%s: no other value to try", path)
			continue
		}
		enabled := map[string]any{}
		if other.with != "" {
			enabled[other.with] = map[string]any{"enabled": true}
		}
		before, err := chart(enabled)
		if err != nil {
			t.Fatal(err)
		}
		after, err := chart(setting(path, other.value, other.with))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if cmp.Equal(before, after) {
			t.Errorf("%s: %v changes nothing", path, other.value)
		}
	}
}

// What a value changes is what it is called after.
func TestValuesReachTheirPlaces(t *testing.T) {
	all, err := templates(map[string]any{
		"metrics": map[string]any{"enabled": true, "readers": []any{map[string]any{"namespace": "watch", "name": "prometheus"}}},
		"alerts":  map[string]any{"enabled": true, "tokenAgeSeconds": 43200, "runbookBase": "https://runbooks.example/", "ruleLabels": map[string]any{"team": "nodes"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	alerts, readers := all["joinery/templates/alerts.yaml"], all["joinery/templates/metrics-readers.yaml"]
	rules := strings.Count(alerts, "alert: ")
	for text, want := range map[string]int{"> 43200": 1, "> 7200": 0, "runbook_url: https://runbooks.example/Joinery": rules, "team: nodes": rules, "severity: ": rules} {
		if got := strings.Count(alerts, text); got != want {
			t.Errorf("%q: %d times, expected %d", text, got, want)
		}
	}
	var binding struct {
		Subjects []map[string]string `json:"subjects"`
	}
	if err := yaml.Unmarshal([]byte(readers), &binding); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]map[string]string{{"kind": "ServiceAccount", "namespace": "watch", "name": "prometheus"}}, binding.Subjects); diff != "" {
		t.Error(diff)
	}
	if notes := all["joinery/templates/NOTES.txt"]; !strings.Contains(notes, "joinery doctor") || strings.Contains(notes, "legacy") {
		t.Errorf("notes: %s", notes)
	}
}

func TestSchemaRefuses(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"an unknown part":       {"colour": map[string]any{}},
		"an unknown value":      {"legacy": map[string]any{"on": true}},
		"text for a switch":     {"legacy": map[string]any{"enabled": "true"}},
		"a number as a label":   {"labels": map[string]any{"a": 1}},
		"a reader without name": {"metrics": map[string]any{"readers": []any{map[string]any{"namespace": "a"}}}},
		"a name with capitals":  {"alerts": map[string]any{"name": "Rules"}},
		"a namespace of dots":   {"dashboard": map[string]any{"namespace": "a.b"}},
		"another severity":      {"alerts": map[string]any{"ruleLabels": map[string]any{"severity": "page"}}},
		"a base without slash":  {"alerts": map[string]any{"runbookBase": "https://runbooks.example"}},
		"a second":              {"alerts": map[string]any{"tokenAgeSeconds": 1}},
	} {
		if _, err := chart(values); err == nil || !strings.Contains(err.Error(), "values") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The schema describes the values that there are, and no others.
func TestSchemaDescribesEveryValue(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(deploy, "chart", "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	type part struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	var schema part
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	var described []string
	for name, raw := range schema.Properties {
		var p part
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		for below := range maps.Keys(p.Properties) {
			described = append(described, name+"."+below)
		}
		if len(p.Properties) == 0 && name != "global" { // Helm's own
			described = append(described, name)
		}
	}
	have := leaves(defaults(t), "")
	slices.Sort(described)
	slices.Sort(have)
	if diff := cmp.Diff(have, described); diff != "" {
		t.Errorf("(-values.yaml +schema):\n%s", diff)
	}
}
