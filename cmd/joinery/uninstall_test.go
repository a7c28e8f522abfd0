package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// remains is an API server with nothing of Joinery's but a token and a Lease, which its
// holder renews all the time.
func remains(holder string, deleted *[]string) http.Handler {
	version := 0
	const none = `{"kind": "List", "apiVersion": "v1", "items": []}`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodDelete:
			*deleted = append(*deleted, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
			fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "status": "Success"}`)
		case strings.HasSuffix(r.URL.Path, "/leases/joinery-controller"):
			version++
			fmt.Fprintf(w, `{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "joinery-controller", "resourceVersion": "%d"},
				"spec": {"holderIdentity": %q, "leaseDurationSeconds": 10}}`, version, holder)
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
	for _, tt := range []struct {
		name    string
		holder  string
		args    []string
		code    int
		deleted int
		out     string
	}{
		{"a controller leads", "ip-10-0-0-1", nil, exitFound, 0, ""},
		{"a dry run", "", []string{"--dry-run"}, 0, 0, "OBJECT                         WOULD REMOVE\nSecret/bootstrap-token-joinr0  the object\n"},
		{"all stopped", "", nil, 0, 2, "OBJECT                         REMOVED\nSecret/bootstrap-token-joinr0  the object\nLease/joinery-controller       the object\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var deleted []string
			file := kubeconfigFor(t, remains(tt.holder, &deleted))
			code, out, said := run(t, append([]string{"uninstall", "--kubeconfig", file}, tt.args...)...)
			if code != tt.code || len(deleted) != tt.deleted || !strings.Contains(out, tt.out) {
				t.Errorf("code %d, deleted %q, printed %q and %q", code, deleted, out, said)
			}
		})
	}
}
