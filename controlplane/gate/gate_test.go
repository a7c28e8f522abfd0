package gate_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/controlplane/gate"
	"github.com/joinery/joinery/lab/bubble"
)

// server is an API server that knows one token, whose holder may get one path.
func server() (*fake.Clientset, *error) {
	client, away := fake.NewClientset(), new(error)
	client.PrependReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		r.Status.Authenticated = r.Spec.Token == "good"
		r.Status.User = authenticationv1.UserInfo{Username: "prometheus", Groups: []string{"g"}}
		return true, r, *away
	})
	client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		n := r.Spec.NonResourceAttributes
		r.Status.Allowed = r.Spec.User == "prometheus" && n.Path == "/metrics" && n.Verb == "get"
		return true, r, nil
	})
	return client, away
}

func get(g http.Handler, path, authorization string) int {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Code
}

func newGate(client *fake.Clientset) *gate.Gate {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") })
	return gate.New(client, next, slog.New(slog.DiscardHandler))
}

func TestGate(t *testing.T) {
	client, _ := server()
	g := newGate(client)
	for _, test := range []struct {
		path, authorization string
		want                int
	}{
		{"/metrics", "Bearer good", http.StatusOK},
		{"/decisions", "Bearer good", http.StatusForbidden},
		{"/metrics", "Bearer stolen", http.StatusUnauthorized},
		{"/metrics", "", http.StatusUnauthorized},
		{"/metrics", "Bearer ", http.StatusUnauthorized},
		{"/metrics", "Basic Z29vZDpnb29k", http.StatusUnauthorized},
		{"/metrics", "good", http.StatusUnauthorized},
	} {
		if got := get(g, test.path, test.authorization); got != test.want {
			t.Errorf("%s with %q: %d, expected %d", test.path, test.authorization, got, test.want)
		}
	}
}

func TestGateFailsClosedAndRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, away := server()
		g := newGate(client)
		*away = errors.New("connection refused")
		if got := get(g, "/metrics", "Bearer good"); got != http.StatusServiceUnavailable {
			t.Errorf("without an API server: %d", got)
		}
		*away = nil
		client.ClearActions()
		for range 1000 {
			if got := get(g, "/metrics", "Bearer good"); got != http.StatusOK {
				t.Fatalf("got %d", got)
			}
			get(g, "/metrics", "Bearer stolen")
		}
		if n := len(client.Actions()); n != 3 {
			t.Errorf("%d questions for 2000 requests: expected 3", n)
		}
		bubble.Sleep(61 * time.Second)
		*away = errors.New("connection refused")
		if got := get(g, "/metrics", "Bearer good"); got != http.StatusServiceUnavailable {
			t.Errorf("an answer of a minute ago is believed: %d", got)
		}
	})
}
