package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/joinery/joinery/internal/redact"
)

// Limits bound how long a server may keep its client waiting. A download of any
// size may take its time: what is bounded is how long nothing comes.
type Limits struct {
	Connect time.Duration // to look up, connect and agree on a key
	Answer  time.Duration // to begin an answer
	Silence time.Duration // between two pieces of a body
}

// Client returns a client that is like base but keeps to the limits and talks TLS
// only, after redirects as well.
func (l Limits) Client(base *http.Transport) *http.Client {
	t := base.Clone()
	t.DialContext = (&net.Dialer{Timeout: l.Connect}).DialContext
	t.TLSHandshakeTimeout = l.Connect
	t.ResponseHeaderTimeout = l.Answer
	return &http.Client{Transport: patient{next: t, silence: l.Silence}}
}

// errSilent is why a request ends whose server has stopped to send.
var errSilent = errors.New("the server went silent")

// patient refuses requests without TLS and ends those whose body stalls.
type patient struct {
	next    http.RoundTripper
	silence time.Duration
}

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return nil, fmt.Errorf("address %s: expected one with https", redact.Address(req.URL.String()))
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := p.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(err)
		return nil, err
	}
	resp.Body = &watched{body: resp.Body, ctx: ctx, cancel: cancel, silence: p.silence}
	return resp, nil
}

// watched is a body whose reads are bounded. The time between two reads is the
// reader's own and does not count.
type watched struct {
	body    io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	silence time.Duration
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	timer := time.AfterFunc(w.silence, func() { w.cancel(errSilent) })
	defer timer.Stop()
	n, err := w.body.Read(p)
	if err != nil && errors.Is(context.Cause(w.ctx), errSilent) {
		err = fmt.Errorf("%w: nothing came for %s", errSilent, w.silence)
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.cancel(nil)
	return w.body.Close()
}
