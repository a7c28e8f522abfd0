//go:build linux

package bakery_test

import (
	"net/http"
	"path"
	"sync"
	"testing"

	"github.com/joinery/joinery/lab/bakery"
	"github.com/joinery/joinery/lab/machine"
)

// site serves a store inside a run's network, with files that are other than in
// the store while a test spoils them.
type site struct {
	files http.Handler

	mu      sync.Mutex
	spoiled map[string][]byte // path -> what is served in its place; nil: nothing
}

func serve(t *testing.T, h *machine.Host, dir string) *site {
	t.Helper()
	l, err := h.VPC().Listen(t.Context(), bakery.Port)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{files: http.FileServer(http.Dir(dir))}
	server := &http.Server{Handler: s}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	text, spoiled := s.spoiled[path.Clean(r.URL.Path)] // apt asks for /./InRelease
	s.mu.Unlock()
	switch {
	case !spoiled:
		s.files.ServeHTTP(w, r)
	case text == nil:
		http.NotFound(w, r)
	default:
		w.Write(text)
	}
}

func (s *site) spoil(files map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoiled = files
}
