package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/joinery/joinery/controlplane/doctor"
)

// kubeconfigFor writes one for an API server.
func kubeconfigFor(t *testing.T, api http.Handler) string {
	t.Helper()
	s := httptest.NewServer(api)
	t.Cleanup(s.Close)
	text := `{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: "` + s.URL + `"}}],
contexts: [{name: a, context: {cluster: a, user: a}}], users: [{name: a, user: {}}]}`
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// run returns the exit code and what was written.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, trouble bytes.Buffer
	c := command("joinery", &out, &trouble)
	c.SetArgs(args)
	code = report(&trouble, c.ExecuteContext(t.Context()))
	return code, out.String(), trouble.String()
}

func status(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"no %s"}`, reason, code, reason)
}

// reviews allows everything or nothing, and has no objects.
func reviews(allow bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":%t,"reason":"RBAC: allowed by ClusterRoleBinding \"kubeadm:node-autoapprove-bootstrap\""}}`, allow)
		default:
			status(w, http.StatusForbidden, "Forbidden")
		}
	})
}

func TestDoctorExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		api   http.Handler
		code  int
		worst doctor.Level
	}{
		{"unsafe, though little could be looked at", reviews(true), 1, doctor.Unsafe},
		{"could not look", reviews(false), 2, doctor.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, trouble := run(t, "doctor", "--kubeconfig", kubeconfigFor(t, tt.api), "-o", "json")
			var got struct {
				Worst    doctor.Level
				Findings []doctor.Finding
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if code != tt.code || got.Worst != tt.worst || len(got.Findings) < 10 || trouble != "" {
				t.Errorf("code %d, worst %s, %d findings, %q", code, got.Worst, len(got.Findings), trouble)
			}
		})
	}
	for level, want := range map[doctor.Level]int{doctor.OK: 0, doctor.Skipped: 0, doctor.Warning: 0, doctor.Unknown: 2, doctor.Broken: 1, doctor.Unsafe: 1} {
		if got := report(io.Discard, verdict(level)); got != want {
			t.Errorf("%s: %d, want %d", level, got, want)
		}
	}
}

func TestDoctorSaysWhatMends(t *testing.T) {
	_, out, _ := run(t, "doctor", "--kubeconfig", kubeconfigFor(t, reviews(true)))
	if !strings.Contains(out, "mend: kubectl delete clusterrolebinding kubeadm:node-autoapprove-bootstrap\n") {
		t.Errorf("output\n%s", out)
	}
}

func TestMisuseIsNoFinding(t *testing.T) {
	here := kubeconfigFor(t, reviews(false))
	broken := filepath.Join(t.TempDir(), "controller.yaml")
	if err := os.WriteFile(broken, []byte("apiVersion: joinery.dev/v1alpha1\nkind: ControllerConfig\nspec: {colour: red}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"--output":        {"doctor", "--kubeconfig", here, "-o", "yaml"},
		"load kubeconfig": {"doctor", "--kubeconfig", "/nowhere/config"},
		"/nowhere/c.yaml": {"doctor", "--kubeconfig", here, "--config", "/nowhere/c.yaml"},
		"spec.colour":     {"doctor", "--kubeconfig", here, "--config", broken},
		"unknown command": {"dctor"},
		"expected nodes to adopt, or --all\njoinery: expected --config, to ask EC2 what the nodes are, or --without-aws": {"adopt", "--kubeconfig", here},
		"--force: expected the nodes by name":        {"adopt", "--all", "--force", "--without-aws", "--kubeconfig", here},
		"expected one of --config and --without-aws": {"adopt", "--all", "--without-aws", "--config", broken, "--kubeconfig", here},
		"--remove: expected nodes by name":           {"adopt", "--all", "--remove", "--kubeconfig", here},
		`--output: "yaml": expected text or json`:    {"adopt", "a", "--without-aws", "-o", "yaml", "--kubeconfig", here},
		"list nodes": {"adopt", "a", "--without-aws", "--kubeconfig", here},
	} {
		if code, out, trouble := run(t, args...); code != 2 || !strings.Contains(trouble, want) || out != "" {
			t.Errorf("%v: code %d, %q, %q", args, code, out, trouble)
		}
	}
}

// desk is an API server with one ConfigMap, and a leader that answers.
type desk struct {
	mu     sync.Mutex
	data   map[string]string
	answer string // of the leader; empty for none
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.URL.Path != "/api/v1/namespaces/kube-system/configmaps/joinery-rotation" {
		status(w, http.StatusNotFound, "NotFound")
		return
	}
	if r.Method == http.MethodPatch {
		var patch struct{ Data map[string]string }
		if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
			status(w, http.StatusBadRequest, "BadRequest")
			return
		}
		d.data = patch.Data
	} else if d.answer != "" {
		for k := range d.data {
			d.data[strings.Replace(k, "request.", "answer.", 1)] = d.answer
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "metadata": map[string]any{"name": "joinery-rotation"}, "data": d.data})
}

func TestTokenRotate(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		code         int
		says         string
	}{
		{"published", `{"tokenID":"abcdef","expiresAt":"2026-11-24T15:00:00Z","at":"2026-11-24T12:00:00Z"}`, 0, "token abcdef is published and expires at 2026-11-24T15:00:00Z"},
		{"given up", `{"problem":"SSM: throttled","at":"2026-11-24T12:00:00Z"}`, 1, "the controller could not rotate: SSM: throttled"},
		{"nobody leads", "", 1, "joinery doctor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, trouble := run(t, "token", "rotate", "--timeout", "2s", "--kubeconfig", kubeconfigFor(t, &desk{answer: tt.answer}))
			if code != tt.code || !strings.Contains(out+trouble, tt.says) {
				t.Errorf("code %d: %s%s", code, out, trouble)
			}
		})
	}
}

func TestKubectlPluginSaysItsName(t *testing.T) {
	for name, want := range map[string]string{"/usr/local/bin/kubectl-joinery": "kubectl joinery doctor", "./joinery": "joinery doctor"} {
		var out bytes.Buffer
		c := command(name, &out, &out)
		c.SetArgs([]string{"doctor", "--help"})
		if err := c.Execute(); err != nil || !strings.Contains(out.String(), "Usage:\n  "+want+" ") {
			t.Errorf("%s: %v\n%s", name, err, &out)
		}
	}
}

func TestReportKeepsSecrets(t *testing.T) {
	var out bytes.Buffer
	report(&out, errors.New("decode: -----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nabc\n-----END EC PRIVATE KEY-----\nexpected a certificate"))
	if got := out.String(); strings.Contains(got, "MHcC") || strings.Contains(got, "abc") || !strings.Contains(got, "expected a certificate") {
		t.Errorf("a key of several lines: %s", got)
	}
	out.Reset()
	if code := report(&out, errors.New("token abcdef.0123456789abcdef is wrong")); code != 2 || strings.Contains(out.String(), "0123456789abcdef") {
		t.Errorf("%d: %s", code, &out)
	}
}
