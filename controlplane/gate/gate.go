// Package gate lets in to the controller's HTTP endpoint whom the API server lets in:
// it asks who a bearer token belongs to (TokenReview) and whether they may get the
// path (SubjectAccessReview, as for the API server's own /metrics). Where the endpoint
// is on loopback no gate is needed.
package gate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/internal/drive"
)

// Access is what a Gate does with the API server.
var Access = []drive.Access{
	{Group: "authentication.k8s.io", Resource: "tokenreviews", Verbs: []string{"create"}},
	{Group: "authorization.k8s.io", Resource: "subjectaccessreviews", Verbs: []string{"create"}},
}

const (
	// remembered is how long an answer is believed: a token that was revoked works
	// for so long, as with the API server's own webhook caches.
	remembered = time.Minute
	// most bounds the answers that are remembered, so that a flood of invented tokens
	// costs no memory.
	most = 1000
	// inFlight bounds the questions to the API server that a flood can cause.
	inFlight = 4
	// timeout bounds one of them.
	timeout = 5 * time.Second
)

// Gate guards a handler. It fails closed: without an answer no one is let in.
type Gate struct {
	client kubernetes.Interface
	next   http.Handler
	log    *slog.Logger
	turns  chan struct{}

	mu    sync.Mutex // guards known
	known map[key]answer
}

// key is a token, of which only the sum is kept, and what it asks for.
type key struct {
	token [sha256.Size]byte
	path  string
}

type answer struct {
	status int // HTTP status; 200 lets in
	at     time.Time
}

// New returns a Gate in front of next.
func New(client kubernetes.Interface, next http.Handler, log *slog.Logger) *Gate {
	return &Gate{client: client, next: next, log: log.With("part", "gate"), turns: make(chan struct{}, inFlight), known: map[key]answer{}}
}

// ServeHTTP passes on whom the API server lets in; 401, 403 or, without an answer, 503
// to everyone else.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "expected a bearer token of this cluster", http.StatusUnauthorized)
		return
	}
	k := key{sha256.Sum256([]byte(token)), r.URL.Path}
	status, known := g.recall(k)
	if !known {
		var err error
		if status, err = g.ask(r.Context(), token, r.URL.Path); err != nil {
			g.log.Warn("no answer about a caller", "path", r.URL.Path, "error", err)
			http.Error(w, "the API server does not say who you are", http.StatusServiceUnavailable)
			return
		}
		g.remember(k, status)
	}
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	g.next.ServeHTTP(w, r)
}

// ask asks the API server; an error means that it did not answer.
func (g *Gate) ask(ctx context.Context, token, path string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case g.turns <- struct{}{}:
		defer func() { <-g.turns }()
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for a turn: %w", ctx.Err())
	}
	who, err := g.client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("review token: %w", err)
	}
	if !who.Status.Authenticated {
		return http.StatusUnauthorized, nil
	}
	u := who.Status.User
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range u.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	may, err := g.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: u.Username, UID: u.UID, Groups: u.Groups, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
		},
	}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return 0, fmt.Errorf("review access of %s to %s: %w", u.Username, path, err)
	case !may.Status.Allowed:
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}

func (g *Gate) recall(k key) (status int, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, ok := g.known[k]
	return a.status, ok && time.Since(a.at) < remembered
}

func (g *Gate) remember(k key, status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= most {
		clear(g.known)
	}
	g.known[k] = answer{status, time.Now()}
}
