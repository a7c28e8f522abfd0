package download

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/lab/bubble"
)

// pieces is a server that sends a piece of its body, again and again after a
// pause, and then no more.
type pieces struct {
	pause time.Duration
	n     int
	ends  bool
}

func (p pieces) RoundTrip(req *http.Request) (*http.Response, error) {
	r, w := io.Pipe()
	go func() {
		for range p.n {
			time.Sleep(p.pause)
			if _, err := io.WriteString(w, "piece "); err != nil {
				return
			}
		}
		if !p.ends {
			<-req.Context().Done()
		}
		w.CloseWithError(req.Context().Err()) // nil is the end of the body
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: r}, nil
}

// A body may take as long as it likes in all. What ends it is silence.
func TestSilence(t *testing.T) {
	for name, c := range map[string]struct {
		server pieces
		body   string
		silent bool
	}{
		"slow for an hour":     {pieces{pause: 29 * time.Second, n: 120, ends: true}, strings.Repeat("piece ", 120), false},
		"stops in the middle":  {pieces{pause: time.Second, n: 2}, "piece piece ", true},
		"never sends anything": {pieces{}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &http.Client{Transport: patient{next: c.server, silence: 30 * time.Second}}
				in, err := Open(t.Context(), client, "https://archive.example")
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				got, err := io.ReadAll(in)
				if string(got) != c.body || errors.Is(err, errSilent) != c.silent || (err != nil) != c.silent {
					t.Errorf("got %d bytes and %v", len(got), err)
				}
			})
		})
	}
}

// The reader's own time is not the server's silence.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: patient{next: pieces{n: 2, ends: true}, silence: time.Second}}
		in, err := Open(t.Context(), client, "https://archive.example")
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		bubble.Sleep(time.Hour)
		if got, err := io.ReadAll(in); err != nil || string(got) != "piece piece " {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestClientTalksTLSOnly(t *testing.T) {
	_, err := Open(t.Context(), Limits{}.Client(&http.Transport{}), "http://user:secret@archive.example/kubelet")
	if err == nil || !strings.Contains(err.Error(), "expected one with https") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
