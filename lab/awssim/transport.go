package awssim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// errNoAnswer is what an in-process client sees when the connection was closed
// before an answer; over a socket it would be io.EOF too.
var errNoAnswer = errors.Join(errors.New("awssim: connection closed without an answer"), io.ErrUnexpectedEOF)

// Transport returns a RoundTripper that hands every request to h in process,
// without a socket, so that it can be used in a testing/synctest bubble.
func Transport(h http.Handler) http.RoundTripper { return inProcess{h} }

// Transport returns an in-process RoundTripper to the API services.
func (w *World) Transport() http.RoundTripper { return Transport(w) }

type inProcess struct{ h http.Handler }

// RoundTrip runs the handler on the caller's goroutine. The context's end is
// seen by whatever the handler waits for.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Host == "" {
		in.Host = in.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close()
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	t.h.ServeHTTP(rec, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if rec.aborted {
		return nil, errNoAnswer
	}
	return &http.Response{
		Status: http.StatusText(rec.status), StatusCode: rec.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: rec.header, Request: r,
		Body: io.NopCloser(&rec.body), ContentLength: int64(rec.body.Len()),
	}, nil
}

// recorder keeps what a handler writes.
type recorder struct {
	header  http.Header
	status  int
	body    bytes.Buffer
	aborted bool
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *recorder) abort()                      { r.aborted = true }

// Config returns an SDK configuration for a caller with the role's credentials,
// connected in process.
func (w *World) Config(role string) aws.Config {
	creds := w.Credentials(role)
	return aws.Config{
		Region:       w.Region,
		BaseEndpoint: aws.String("http://awssim.invalid"),
		HTTPClient:   &http.Client{Transport: w.Transport()},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return creds, nil
		}),
	}
}

// Server returns an HTTP server for the API services, for the caller to Serve
// and to shut down.
func (w *World) Server() *http.Server {
	return &http.Server{Handler: w, ReadHeaderTimeout: 10 * time.Second}
}

// Serve answers the API services on l until ctx ends, and closes l.
func (w *World) Serve(ctx context.Context, l net.Listener) error {
	return serve(ctx, l, w.Server())
}

// ServeIMDS answers the metadata service of one instance on l until ctx ends.
// The listener decides who reaches it and with which IP TTL it answers.
func (w *World) ServeIMDS(ctx context.Context, l net.Listener, instanceID string) error {
	return serve(ctx, l, &http.Server{Handler: w.IMDS(instanceID), ReadHeaderTimeout: 10 * time.Second})
}

func serve(ctx context.Context, l net.Listener, s *http.Server) error {
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
