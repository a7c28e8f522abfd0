package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// remains is an API server with nothing of Joinery's but a token and a Lease.
func remains(renewed time.Time, deleted *[]string) http.Handler {
	const none = `{"kind": "List", "apiVersion": "v1", "items": []}`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodDelete:
			*deleted = append(*deleted, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
			fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "status": "Success"}`)
		case strings.HasSuffix(r.URL.Path, "/leases/joinery-controller"):
			fmt.Fprintf(w, `{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "joinery-controller"},
				"spec": {"holderIdentity": "ip-10-0-0-1", "leaseDurationSeconds": 10, "renewTime": %q}}`, renewed.UTC().Format("2006-01-02T15:04:05.000000Z"))
		case strings.HasSuffix(r.URL.Path, "/secrets"):
			fmt.Fprint(w, `{"kind": "SecretList", "apiVersion": "v1", "items": [{"metadata": {"name": "bootstrap-token-joinr0"}, "type": "bootstrap.kubernetes.io/token"}]}`)
		case strings.Contains(r.URL.Path, "/configmaps/"):
			status(w, http.StatusNotFound, "NotFound")
		default:
			fmt.Fprint(w, none)
		}
	})
}

func TestUninstall(t *testing.T) {
	crashed := time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		name    string
		renewed time.Time
		args    []string
		code    int
		deleted int
		out     string
	}{
		{"a controller leads", time.Now(), nil, exitFound, 0, ""},
		{"a dry run", crashed, []string{"--dry-run"}, 0, 0, "Secret/bootstrap-token-joinr0  the object"},
		{"all stopped", crashed, nil, 0, 2, "Lease/joinery-controller       the object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var deleted []string
			file := kubeconfigFor(t, remains(tt.renewed, &deleted))
			code, out, said := run(t, append([]string{"uninstall", "--kubeconfig", file}, tt.args...)...)
			if code != tt.code || len(deleted) != tt.deleted || !strings.Contains(out, tt.out) {
				t.Errorf("code %d, deleted %q, printed %q and %q", code, deleted, out, said)
			}
		})
	}
}
