package attack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/joinery/joinery/controlplane/doctor"
)

// An operator may install by plain files, by kustomize or by Helm. The API server takes
// what each of them renders by server-side apply, stores the same objects, and the
// doctor finds the same guards.
func TestEveryWayOfInstallationGuardsAlike(t *testing.T) {
	s := open(t)
	s.installDoctor()
	const optional = "legacy,metrics,dashboard" // alerts need the Prometheus operator's kind
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
}

// render runs deploy/render, as somebody without Helm and kustomize at hand would.
func render(t *testing.T, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // it may have to be built
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"run", "."}, args...)...)
	cmd.Dir = "../../deploy/render"
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
