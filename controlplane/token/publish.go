package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/redact"
)

// tail bounds what is done once this process knows that it leads: from before
// it asked until the request is sent that nobody but the leader may make. It is
// well under the 10 s for which the Lease is then certain.
const tail = 5 * time.Second

// lookFor bounds how old the look may be that a write relies on. SSM may take seconds
// for it, so tail begins after it.
const lookFor = 20 * time.Second

// NewerError says that a newer bundle was found where one was to be written.
type NewerError struct {
	// Found and Ours are when the tokens were issued.
	Found, Ours time.Time
}

// Error names both times.
func (e *NewerError) Error() string {
	return fmt.Sprintf("a token issued at %s is published: not replaced by one of %s", e.Found.Format(time.RFC3339), e.Ours.Format(time.RFC3339))
}

// ConcurrentWriteError says that somebody else wrote the parameter between our
// looking at it and our writing it.
type ConcurrentWriteError struct{ Before, After int64 }

// Error names the versions.
func (e *ConcurrentWriteError) Error() string {
	return fmt.Sprintf("somebody else wrote the parameter: version %d was followed by %d", e.Before, e.After)
}

// rotate makes a token unless one is there, sees that the API server has it,
// and only then publishes it: no agent ever reads a token that does not exist
// yet. What could not be published is found out before anything is made.
func (r *Rotator) rotate(ctx context.Context, s State, d Decision) error {
	b := s.Cluster.Bundle(sample, d.Issued, d.Expires)
	if t := d.Reuse; t != nil {
		b = s.Cluster.Bundle(t.Text, t.Issued, t.Expires)
	}
	if err := r.deps.Store.Check(b); err != nil {
		return err
	}
	if d.Reuse == nil {
		t, err := r.create(ctx, s, d)
		if err != nil {
			return err
		}
		b = s.Cluster.Bundle(t.Text, t.Issued, t.Expires)
	}
	if err := r.publish(ctx, s.Cluster, b); err != nil {
		return fmt.Errorf("publish token %s: %w", b.TokenID(), err)
	}
	r.deps.Observer.Rotated(d.Reason)
	r.log.Info("token published", "id", b.TokenID(), "reason", d.Reason, "detail", d.Detail, "expires", b.ExpiresAt)
	return nil
}

func (r *Rotator) create(ctx context.Context, s State, d Decision) (Token, error) {
	// Not for safety, which is publish's, but so that a process that woke up with
	// an old picture leaves no token behind.
	if err := r.confirm(ctx); err != nil {
		return Token{}, err
	}
	if d.ID == "" {
		return Token{}, &RingFullError{Foreign: s.Foreign}
	}
	text, err := generate(d.ID)
	if err != nil {
		return Token{}, err
	}
	made := newSecret(r.cluster, r.deps.Purpose, text, d)
	if _, err := r.deps.Secrets.Create(ctx, made, metav1.CreateOptions{}); err != nil {
		// What refuses an object may repeat what is in it.
		return Token{}, redact.Error(fmt.Errorf("create secret %s: %w", made.Name, err), text.Reveal(), string(made.Data[kube.BootstrapTokenSecretKey]))
	}
	back, err := r.deps.Secrets.Get(ctx, made.Name, metav1.GetOptions{})
	if err != nil {
		return Token{}, fmt.Errorf("read back secret %s: %w", made.Name, err)
	}
	t, ours := parse(back, r.cluster, r.deps.Purpose)
	if !ours || t.Altered || t.Text != text {
		return Token{}, fmt.Errorf("read back secret %s: it is not what was made", made.Name)
	}
	return t, nil
}

// publish writes b. SSM cannot be told to write only over what was read, and
// this process may have been stopped at any instruction, for hours. So it proves that
// it leads, looks that nothing newer is there, proves again that it leads, and writes. A
// write is sent within tail of before the second proof and within lookFor of before the
// first, or not at all. How long SSM takes to answer it is another matter.
func (r *Rotator) publish(ctx context.Context, c bundle.Cluster, b *v1alpha1.JoinBundle) error {
	looked, done := context.WithTimeout(ctx, lookFor)
	defer done()
	if err := r.confirm(looked); err != nil {
		return err
	}
	before, _, err := r.published(looked, c)
	if err != nil {
		return err
	}
	if supersedes(before.Bundle, b, r.now()) {
		return &NewerError{Found: before.Bundle.IssuedAt, Ours: b.IssuedAt}
	}
	fenced, cancel := context.WithTimeout(looked, tail)
	defer cancel()
	if err := r.confirm(fenced); err != nil {
		return err
	}
	after, err := r.deps.Store.Put(fenced, b)
	if err != nil {
		return err
	}
	if after != before.Version+1 {
		// The round looks again at once and repairs what is to be repaired.
		e := &ConcurrentWriteError{Before: before.Version, After: after}
		r.log.Warn("token published", "id", b.TokenID(), "error", e)
		r.deps.Observer.Trouble(e)
	}
	return nil
}

func (r *Rotator) confirm(ctx context.Context) error {
	if r.deps.Confirm == nil {
		return nil
	}
	return r.deps.Confirm(ctx)
}

// sweep deletes tokens, as the leader only: one that woke after hours may take
// the token for superseded that another leader has published meanwhile.
func (r *Rotator) sweep(ctx context.Context, old []Token) error {
	if len(old) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tail)
	defer cancel()
	if err := r.confirm(ctx); err != nil {
		return fmt.Errorf("delete old tokens: %w", err)
	}
	var failed []error
	for _, t := range old {
		uid := types.UID(t.UID)
		err := r.deps.Secrets.Delete(ctx, kube.BootstrapTokenSecretName(t.ID), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		switch {
		case apierrors.IsNotFound(err): // Kubernetes' own token cleaner was first
		case err != nil:
			failed = append(failed, fmt.Errorf("delete token %s: %w", t.ID, err))
		default:
			r.deps.Observer.Deleted(t.ID)
			r.log.Info("token deleted", "id", t.ID, "issued", t.Issued, "expires", t.Expires)
		}
	}
	return errors.Join(failed...)
}

// Retire deletes all tokens of the rotator's purpose, for one that is no longer
// wanted, until ctx ends. It looks again now and then: a controller whose
// configuration is older may have led in between.
func (r *Rotator) Retire(ctx context.Context) error {
	return drive.Rounds{
		Name: "token-retire", Every: retireEvery, Timeout: timeout, Retry: drive.Backoff{First: firstRetry, Last: lastRetry},
		Meter: r.deps.Meter, Log: r.log,
		Round: func(ctx context.Context) (rest time.Duration, err error) {
			tokens, _, err := r.tokens(ctx)
			if err != nil {
				return 0, err
			}
			return 0, r.sweep(ctx, tokens)
		},
	}.Run(ctx)
}

// retireEvery is how often Retire looks.
const retireEvery = time.Hour
