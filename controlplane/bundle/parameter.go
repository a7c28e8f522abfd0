package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/joinery/joinery/internal/wait"
)

type parameters interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
	PutParameter(context.Context, *ssm.PutParameterInput, ...func(*ssm.Options)) (*ssm.PutParameterOutput, error)
}

// parameter is one SecureString in SSM.
type parameter struct {
	client      parameters
	name        string
	keyID       string
	description string
	written     *lastWrite
}

// value is one version of a parameter.
type value struct {
	text     []byte
	version  int64
	modified time.Time
}

// read returns the newest version that SSM shows, and none older than the one
// that was written here of late: SSM may show what was before.
func (p parameter) read(ctx context.Context) (value, error) {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		v, err := p.look(ctx)
		var absent *NotFoundError
		if err != nil && !errors.As(err, &absent) || v.version >= p.written.least(time.Now()) {
			return v, err
		}
		if over := wait.For(ctx, pause); over != nil {
			return value{}, fmt.Errorf("get parameter %s: version %d is shown, which is older than what was put: %w", p.name, v.version, over)
		}
	}
}

// look returns what SSM shows now.
func (p parameter) look(ctx context.Context) (value, error) {
	out, err := p.client.GetParameter(ctx, &ssm.GetParameterInput{Name: &p.name, WithDecryption: aws.Bool(true)})
	var absent *types.ParameterNotFound
	if errors.As(err, &absent) {
		return value{}, &NotFoundError{Parameter: p.name}
	}
	if err != nil {
		return value{}, fmt.Errorf("get parameter %s: %w", p.name, err)
	}
	if out.Parameter == nil {
		return value{}, &NotFoundError{Parameter: p.name}
	}
	return value{
		text: []byte(aws.ToString(out.Parameter.Value)), version: out.Parameter.Version, modified: aws.ToTime(out.Parameter.LastModifiedDate),
	}, nil
}

// answerIn is how long SSM may take to answer a write. Callers
// bound when a write is sent, which is not how long it takes.
const answerIn = 15 * time.Second

// answered returns a context for what begins before the deadline of ctx and may end
// later, within d. It ends with ctx for any other reason.
func answered(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	stop := context.AfterFunc(ctx, func() {
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cancel()
		}
	})
	return out, func() { stop(); cancel() }
}

// write puts text, reads it back and returns the version that it made. What may
// be too late is not sent at all, and nothing is sent twice: whoever calls looks
// at the world again before another attempt. The reading back may go on after
// the deadline: it changes nothing.
func (p parameter) write(ctx context.Context, text []byte) (int64, error) {
	sendBy, _ := ctx.Deadline()
	asked := ctx
	ctx, cancel := answered(asked, answerIn)
	defer cancel()
	in := &ssm.PutParameterInput{
		Name: &p.name, Value: aws.String(string(text)), Overwrite: aws.Bool(true),
		Type: types.ParameterTypeSecureString, Tier: types.ParameterTierStandard, Description: &p.description,
	}
	if p.keyID != "" {
		in.KeyId = &p.keyID
	}
	out, err := p.client.PutParameter(ctx, in, func(o *ssm.Options) {
		o.RetryMaxAttempts, o.HTTPClient = 1, punctual{o.HTTPClient, sendBy}
	})
	if err != nil {
		return 0, fmt.Errorf("put parameter %s: %w", p.name, err)
	}
	p.written.note(out.Version, time.Now())
	ctx, done := answered(asked, settling+lastLook)
	defer done()
	back, err := p.read(ctx)
	if err != nil {
		return 0, fmt.Errorf("read back: %w", err)
	}
	// A later version is somebody else's, and says nothing about ours.
	if back.version == out.Version && !bytes.Equal(back.text, text) {
		return 0, fmt.Errorf("read back parameter %s: version %d holds something else than was put", p.name, back.version)
	}
	return out.Version, nil
}

// LateError says that a request was not sent because its time was over: the
// process was stopped in between.
type LateError struct{ Deadline, Now time.Time }

// Error says by how much.
func (e *LateError) Error() string {
	return fmt.Sprintf("not sent: its deadline was %s ago", e.Now.Round(0).Sub(e.Deadline.Round(0)).Round(time.Millisecond))
}

// punctual sends nothing after a deadline, unless that is zero. A context
// alone does not see to that. After SIGCONT a goroutine may run before the timer
// that ends its context does, and a virtual machine that was frozen wakes with a
// monotonic clock that stood still, so the wall clock is asked as well.
type punctual struct {
	next   ssm.HTTPClient
	sendBy time.Time
}

// Do sends r, or returns a *LateError.
func (p punctual) Do(r *http.Request) (*http.Response, error) {
	if !p.sendBy.IsZero() {
		if err := late(p.sendBy); err != nil {
			return nil, err
		}
	}
	return p.next.Do(p.hurry(r))
}

// hurry returns the request with a body that is not read after the deadline: to connect
// may take longer than what is left, and SSM does nothing for a request without its body.
func (p punctual) hurry(r *http.Request) *http.Request {
	if p.sendBy.IsZero() || r.Body == nil {
		return r
	}
	r = r.WithContext(r.Context()) // a copy
	r.Body = punctualBody{r.Body, p.sendBy}
	if again := r.GetBody; again != nil {
		r.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			return punctualBody{body, p.sendBy}, err
		}
	}
	return r
}

// punctualBody is a body that cannot be read after a deadline.
type punctualBody struct {
	io.ReadCloser
	sendBy time.Time
}

// Read reads, or returns a *LateError.
func (b punctualBody) Read(p []byte) (int, error) {
	if err := late(b.sendBy); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p)
}

// late returns a *LateError if the deadline is over by the monotonic or the wall clock.
func late(sendBy time.Time) error {
	if now := time.Now(); !now.Before(sendBy) || !now.Round(0).Before(sendBy.Round(0)) {
		return &LateError{Deadline: sendBy, Now: now}
	}
	return nil
}
