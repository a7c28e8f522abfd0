package attack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/joinery/joinery/controlplane/doctor"
)

// An operator may install by plain files, by kustomize or by Helm. The API server takes
// what each of them renders by server-side apply, and what Helm itself installs; it
// stores the same objects, and the doctor finds the same guards.
func TestEveryWayOfInstallationGuardsAlike(t *testing.T) {
	s := open(t)
	s.installDoctor()
	const optional = "legacy,metrics,alerts,dashboard"
	s.kubectl(definition(t), "apply", "--server-side", "-f", "-")
	s.kubectl(nil, "wait", "--for=condition=Established", "--timeout=30s", "customresourcedefinition/prometheusrules.monitoring.coreos.com")
	s.kubectl(nil, "create", "namespace", "monitoring")
	defer s.kubectl(nil, "delete", "namespace", "monitoring", "--wait=false")
	defer s.takeOptionalBack()
	var before []unstructured.Unstructured
	for _, way := range []string{"plain", "kustomize", "chart"} {
		stream := render(t, "-with", optional, way)
		s.kubectl(stream, "apply", "--server-side", "--force-conflicts", "--field-manager", "by-"+way, "-f", "-")
		stored := s.stored(stream)
		if before == nil {
			before = stored
			if len(before) < 20 {
				t.Fatalf("only %d objects are stored", len(before))
			}
		}
		if diff := cmp.Diff(before, stored); diff != "" {
			t.Errorf("%s stores other objects than the plain files (-plain +%s):\n%s", way, way, diff)
		}
		if f := s.finding("permissions"); f.Level != doctor.OK {
			t.Errorf("%s: the doctor says %+v", way, f)
		}
	}
	s.installByHelm(optional)
	if diff := cmp.Diff(before, withoutRelease(s.stored(render(t, "-with", optional, "chart")))); diff != "" {
		t.Errorf("Helm stores other objects than the plain files (-plain +Helm):\n%s", diff)
	}
	if f := s.finding("permissions"); f.Level != doctor.OK {
		t.Errorf("after Helm: the doctor says %+v", f)
	}
}

// installByHelm runs the guide's command, over objects that are there already.
func (s *scene) installByHelm(parts string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Minute) // it may have to be built
	defer cancel()
	tool := exec.CommandContext(ctx, "go", "tool", "-n", "helm")
	tool.Dir = renderModule
	program, err := tool.Output()
	if err != nil {
		s.t.Fatalf("build helm: %v", err)
	}
	for _, name := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		s.t.Setenv(name, s.t.TempDir())
	}
	args := []string{"install", "joinery", "../../deploy/chart", "--namespace", "kube-system", "--take-ownership"}
	for part := range strings.SplitSeq(parts, ",") {
		args = append(args, "--set", part+".enabled=true")
	}
	out, err := s.Cluster.Run(ctx, nil, strings.TrimSpace(string(program)), args...)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(out), "STATUS: deployed") {
		s.t.Errorf("Helm says %s", out)
	}
}

// withoutRelease drops what Helm writes onto each object of a release's; one that lacks
// it was not installed.
func withoutRelease(all []unstructured.Unstructured) []unstructured.Unstructured {
	for _, o := range all {
		labels, annotations := o.GetLabels(), o.GetAnnotations()
		if labels["app.kubernetes.io/managed-by"] != "Helm" || annotations["meta.helm.sh/release-name"] != "joinery" {
			continue
		}
		for _, name := range []string{"meta.helm.sh/release-name", "meta.helm.sh/release-namespace"} {
			unstructured.RemoveNestedField(o.Object, "metadata", "annotations", name)
		}
		unstructured.RemoveNestedField(o.Object, "metadata", "labels", "app.kubernetes.io/managed-by")
		for _, field := range []string{"labels", "annotations"} {
			if left, _, _ := unstructured.NestedMap(o.Object, "metadata", field); len(left) == 0 {
				unstructured.RemoveNestedField(o.Object, "metadata", field)
			}
		}
	}
	return all
}

// definition is the Prometheus operator's own of a PrometheusRule. It lies in a module of
// which it is no Go package, so that no go.mod can ask for it.
func definition(t *testing.T) []byte {
	t.Helper()
	const module, sum = "github.com/prometheus-operator/prometheus-operator@v0.94.0", "h1:VxMKzqr8Xqw5/QInNT7a3B5XInPnHqE7SD2UIdwKpRM="
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module).Output()
	if err != nil {
		t.Fatalf("download %s: %v: %s", module, err, out)
	}
	var got struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Sum != sum {
		t.Fatalf("%s has the sum %s, want %s", module, got.Sum, sum)
	}
	text, err := os.ReadFile(filepath.Join(got.Dir, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// renderModule is what renders the three ways, and pins Helm.
const renderModule = "../../deploy/render"

// render runs deploy/render, as somebody without Helm and kustomize at hand would.
func render(t *testing.T, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // it may have to be built
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"run", "."}, args...)...)
	cmd.Dir = renderModule
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("render: %v\n%s", err, &stderr)
	}
	return out
}

func (s *scene) kubectl(input []byte, args ...string) []byte {
	s.t.Helper()
	// Not the test's own context: what was applied is taken back after it ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), time.Minute)
	defer cancel()
	out, err := s.Cluster.Kubectl(ctx, input, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// stored returns the objects of a stream as the API server has them, without what each
// request changes: who manages which field, and the version of the whole. The generation
// stays: it counts the changes of a spec.
func (s *scene) stored(stream []byte) []unstructured.Unstructured {
	s.t.Helper()
	var list unstructured.UnstructuredList
	if err := json.Unmarshal(s.kubectl(stream, "get", "-f", "-", "-o", "json"), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, o := range list.Items {
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		unstructured.RemoveNestedField(o.Object, "status")
	}
	return list.Items
}

// takeOptionalBack deletes the rights that other tests must not find.
func (s *scene) takeOptionalBack() {
	s.t.Helper()
	for _, file := range []string{"../../deploy/rbac/optional/legacy/legacy.yaml", "../../deploy/rbac/optional/metrics/metrics.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		s.kubectl(text, "delete", "--ignore-not-found", "-f", "-")
	}
}

// finding is what the doctor says by one check.
func (s *scene) finding(check string) doctor.Finding {
	s.t.Helper()
	_, out := s.doctor()
	var report struct{ Findings []doctor.Finding }
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		s.t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.Check == check {
			return f
		}
	}
	s.t.Fatalf("no check %s: %s", check, out)
	return doctor.Finding{}
}
