package join

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/joinery/joinery/api/v1alpha1"
)

// maxSkew is how far this machine's clock may be from the API server's. A proof may
// be v1alpha1.MaxProofAge apart from its request; half of that leaves room for the
// way there.
const maxSkew = v1alpha1.MaxProofAge / 2

// ClockError says that this machine's clock is too wrong for a proof of identity.
type ClockError struct {
	// Ahead is how far the clock is ahead of the API server's; negative is behind.
	Ahead time.Duration
}

// Error says how wrong.
func (e *ClockError) Error() string {
	where := "ahead of"
	if e.Ahead < 0 {
		where = "behind"
	}
	return fmt.Sprintf("clock is %.0f s %s the API server: waiting for time synchronisation", e.Ahead.Abs().Seconds(), where)
}

// Waits returns how long to wait until the clock is looked at again: chrony sets a
// clock within seconds once it has heard from its servers.
func (e *ClockError) Waits() time.Duration { return 5 * time.Second }

// dateReader learns how far the clock is ahead from the Date header of answers (RFC
// 9110, 6.6.1), which is cut to whole seconds.
type dateReader struct {
	next http.RoundTripper

	mu    sync.Mutex // guards both
	ahead time.Duration
	known bool
}

// RoundTrip sends a request and looks at the time of its answer.
func (d *dateReader) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	res, err := d.next.RoundTrip(r)
	if err != nil {
		return res, err
	}
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		middle := sent.Add(time.Since(sent) / 2)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ahead, d.known = middle.Sub(date.Add(time.Second/2)), true
	}
	return res, nil
}

// skew returns how far the clock is ahead by the last answer; 0 when none said it.
func (d *dateReader) skew() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		return 0
	}
	return d.ahead
}

// readDates has c's answers looked at by the dateReader that it returns.
func readDates(c *rest.Config) *dateReader {
	d := &dateReader{}
	c.Wrap(func(next http.RoundTripper) http.RoundTripper {
		d.next = next
		return d
	})
	return d
}

// checkClock asks the API server for anything at all and compares the clocks.
// Errors are *ClockError. An API server that does not answer is no matter of the
// clock: the request that follows finds that out.
func checkClock(ctx context.Context, client rest.Interface, d *dateReader) error {
	_ = client.Get().AbsPath("/version").Do(ctx).Error()
	if ahead := d.skew(); ahead.Abs() > maxSkew {
		return &ClockError{Ahead: ahead}
	}
	return nil
}

// AskAgainError says that a request will never be approved, and that another one
// with a new proof may be: the proof grew too old while it waited.
type AskAgainError struct {
	// Request is the name of the CertificateSigningRequest.
	Request string
	// Message is the approver's.
	Message string
}

// Error gives the approver's words.
func (e *AskAgainError) Error() string {
	return fmt.Sprintf("certificate request %s is to be made again: %s", e.Request, e.Message)
}

// Waits returns how long to wait before the next request.
func (e *AskAgainError) Waits() time.Duration { return time.Second }

// askAgain returns the error for an approver's word that a request is to be made
// again; nil when reason is no such word.
func askAgain(request, reason, message string) error {
	switch reason {
	case v1alpha1.AskAgainClockSkew:
		ahead, _ := v1alpha1.Skew(message)
		return &ClockError{Ahead: ahead}
	case v1alpha1.AskAgainProofAged:
		return &AskAgainError{Request: request, Message: message}
	}
	return nil
}
