package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the generated files again; the run then fails")

func TestGeneratedFiles(t *testing.T) {
	all, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range all {
		path := filepath.Join(deploy, name)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is stale; run go test . -update in deploy/render (-have +want):\n%s", name, cmp.Diff(string(have), string(want)))
		}
	}
	if *update {
		t.Fatal("generated files written again")
	}
}

// A template that no source stands behind would be applied by Helm alone.
func TestChartHasNoOtherTemplates(t *testing.T) {
	all, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	own := []string{"_metadata.tpl", "NOTES.txt", "alerts.yaml", "dashboard.yaml", "metrics-readers.yaml"}
	for _, dir := range []string{"chart/templates", "chart/files"} {
		entries, err := os.ReadDir(filepath.Join(deploy, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if _, made := all[dir+"/"+e.Name()]; !made && !slices.Contains(own, e.Name()) {
				t.Errorf("%s/%s is neither generated nor known", dir, e.Name())
			}
		}
	}
}

// choices are all selections of optional parts.
func choices() [][]string {
	var out [][]string
	for bits := range 1 << len(parts) {
		var chosen []string
		for i, p := range parts {
			if bits>>i&1 == 1 {
				chosen = append(chosen, p)
			}
		}
		out = append(out, chosen)
	}
	return out
}

func TestThreeWaysGiveTheSameObjects(t *testing.T) {
	count := map[string]int{}
	for _, chosen := range choices() {
		t.Run("with "+strings.Join(chosen, "+"), func(t *testing.T) {
			want, err := plain(chosen)
			if err != nil {
				t.Fatal(err)
			}
			count[strings.Join(chosen, "+")] = len(want)
			for _, way := range []string{"kustomize", "chart"} {
				got, err := ways[way](chosen)
				if err != nil {
					t.Fatalf("%s: %v", way, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s differs from the plain files (-plain +%s):\n%s", way, way, diff)
				}
			}
			unique(t, want)
		})
	}
	// Each part has objects of its own.
	for _, p := range parts {
		if count[p] <= count[""] {
			t.Errorf("%s has no objects: %d with it, %d without", p, count[p], count[""])
		}
	}
	if count[""] < 10 {
		t.Errorf("only %d objects", count[""])
	}
}

func unique(t *testing.T, all []object) {
	t.Helper()
	for i := 1; i < len(all); i++ {
		if all[i].id() == all[i-1].id() {
			t.Errorf("twice: %s", all[i].id())
		}
	}
}

// An operator's labels, annotations and namespaces give the same by both tools.
func TestChartAndKustomizeAdaptAlike(t *testing.T) {
	got, err := chart(map[string]any{
		"labels":      map[string]any{"app.kubernetes.io/part-of": "joinery"},
		"annotations": map[string]any{"example.com/owner": "platform"},
		"legacy":      map[string]any{"enabled": true}, "metrics": map[string]any{"enabled": true},
		"alerts": map[string]any{"enabled": true, "namespace": "watch"}, "dashboard": map[string]any{"enabled": true, "namespace": "watch"},
	})
	if err != nil {
		t.Fatal(err)
	}
	inWatch := func(kind string) map[string]any {
		return map[string]any{"target": map[string]any{"kind": kind}, "patch": "- {op: replace, path: /metadata/namespace, value: watch}"}
	}
	want, err := overlay(parts, map[string]any{
		"labels":            []any{map[string]any{"pairs": map[string]any{"app.kubernetes.io/part-of": "joinery"}}},
		"commonAnnotations": map[string]any{"example.com/owner": "platform"},
		"patches":           []any{inWatch("PrometheusRule"), inWatch("ConfigMap")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-kustomize +chart):\n%s", diff)
	}
}

func TestRunPrintsOneWay(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-with", "legacy,metrics", "chart"}, &out); err != nil {
		t.Fatal(err)
	}
	got, err := parse(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want, err := plain([]string{"legacy", "metrics"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, args := range [][]string{{}, {"tar"}, {"-with", "all", "chart"}, {"chart", "plain"}} {
		if err := run(args, &out); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// A text at a document's end keeps its last newline, whatever follows.
func TestParseKeepsTexts(t *testing.T) {
	all, err := parse([]byte("kind: A\ntext: |\n  a\n---\nkind: B\ntext: |\n  a\n"))
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, o := range all {
		if o["text"] != "a\n" {
			t.Errorf("%s: %q", o["kind"], o["text"])
		}
	}
}

func TestTemplateRefusesWhatHelmWouldRead(t *testing.T) {
	if _, err := template([]byte("data: {a: '{{ b }}'}\n"), ""); err == nil {
		t.Error("no error")
	}
}

// The kustomization in the operator's guide gives all that there is.
func TestGuidesKustomizationBuilds(t *testing.T) {
	guide, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := bytes.Cut(guide, []byte("```yaml\napiVersion: kustomize.config.k8s.io/v1beta1\n"))
	text, _, found := bytes.Cut(after, []byte("```"))
	if !found {
		t.Fatal("the guide has no kustomization")
	}
	got, err := build(append([]byte("apiVersion: kustomize.config.k8s.io/v1beta1\n"), text...))
	if err != nil {
		t.Fatal(err)
	}
	want, err := plain(parts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-plain +guide):\n%s", diff)
	}
}
