package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/internal/kube"
)

// Round is what one round came to.
type Round struct {
	// Next is when to look again if nothing happens.
	Next time.Time
	// TokenID and ExpiresAt are those of the published token.
	TokenID   string
	ExpiresAt time.Time
}

// Reconcile observes, plans and executes once, for a minute at most. Rotated or
// not, tokens that are no longer needed are deleted. For each request, named by
// an id of its own, a token is made unless one was made already; then nil means
// that it, or a newer one, is published. One round runs at a time.
func (r *Rotator) Reconcile(ctx context.Context, requests ...string) (Round, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case r.busy <- struct{}{}:
		defer func() { <-r.busy }()
	case <-ctx.Done():
		return Round{}, ctx.Err()
	}
	s, err := r.observe(ctx, requests)
	if err != nil {
		return Round{}, err
	}
	d := Plan(s, r.now(), r.options)
	if d.Rotate {
		if err := r.rotate(ctx, s, d); err != nil {
			return Round{}, errors.Join(fmt.Errorf("rotate token (%s): %w", d.Reason, err), r.sweep(ctx, d.Delete))
		}
		if s, err = r.observe(ctx, requests); err != nil {
			return Round{}, err
		}
		if d = Plan(s, r.now(), r.options); d.Rotate {
			d.Next = r.now() // somebody else wrote meanwhile
		}
	}
	round := Round{Next: d.Next}
	if b := s.Published; b != nil {
		round.TokenID, round.ExpiresAt = b.TokenID(), b.ExpiresAt
		r.deps.Observer.Published(b.IssuedAt, b.ExpiresAt)
	}
	return round, r.sweep(ctx, d.Delete)
}

// clockSkew is how far the clocks of two API servers may differ.
const clockSkew = 2 * time.Minute

// Issued reports whether what was asked for at a time, by the API server's clock,
// was asked for with a token that still stands, by the API server's own answer
// and not a cache's:
//   - the token of that id is one of this cluster's and of this rotator's
//     purpose, so of its group;
//   - it was not revoked;
//   - it existed then. An earlier token may have had the same id.
func (r *Rotator) Issued(ctx context.Context, id string, asked time.Time) (bool, error) {
	if !slices.Contains(r.deps.Purpose.IDs(), id) {
		return false, nil
	}
	s, err := r.deps.Secrets.Get(ctx, kube.BootstrapTokenSecretName(id), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for token %s: %w", id, err)
	}
	t, ours := parse(s, r.cluster, r.deps.Purpose)
	return ours && !t.Created.After(asked.Add(clockSkew)), nil
}

func (r *Rotator) observe(ctx context.Context, requests []string) (State, error) {
	s := State{Requests: requests, Ring: r.deps.Purpose.IDs()}
	var err error
	if s.Cluster, err = r.deps.Source.Cluster(ctx); err != nil {
		return s, err
	}
	if s.Tokens, s.Foreign, err = r.tokens(ctx); err != nil {
		return s, err
	}
	var stored bundle.Stored
	if stored, s.Unreadable, err = r.published(ctx, s.Cluster); err != nil {
		return s, err
	}
	s.Published, s.Modified = stored.Bundle, stored.Modified
	return s, nil
}

// tokens reads our own, and which other ids of the ring have Secrets.
func (r *Rotator) tokens(ctx context.Context) (own []Token, foreign []string, err error) {
	for _, id := range r.deps.Purpose.IDs() {
		s, err := r.deps.Secrets.Get(ctx, kube.BootstrapTokenSecretName(id), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read secret of token %s: %w", id, err)
		}
		if t, ours := parse(s, r.cluster, r.deps.Purpose); ours {
			own = append(own, t)
		} else {
			foreign = append(foreign, id)
		}
	}
	return own, foreign, nil
}

// published reads what is in SSM: no bundle and a reason when no agent could
// read it, and no bundle and no reason when there is nothing.
func (r *Rotator) published(ctx context.Context, c bundle.Cluster) (stored bundle.Stored, unreadable string, err error) {
	stored, err = r.deps.Store.Get(ctx)
	var absent *bundle.NotFoundError
	var invalid *v1alpha1.InvalidError
	switch {
	case errors.As(err, &absent):
		return bundle.Stored{}, "", nil
	case errors.As(err, &invalid):
		stored.Bundle = nil
		return stored, "what is published is no join bundle: " + invalid.Error(), nil
	case err != nil:
		return bundle.Stored{}, "", err
	}
	stored.Bundle, err = r.complete(ctx, stored.Bundle, c)
	return stored, "", err
}

// complete adds what a bare token does not say: its times, from its Secret, and
// the cluster's facts, of which it says nothing wrong. The times of a token that
// has no Secret stay zero, long before those of any other.
func (r *Rotator) complete(ctx context.Context, b *v1alpha1.JoinBundle, c bundle.Cluster) (*v1alpha1.JoinBundle, error) {
	if !b.IssuedAt.IsZero() {
		return b, nil
	}
	full := c.Bundle(b.Token, time.Time{}, time.Time{})
	if !slices.Contains(r.deps.Purpose.IDs(), b.TokenID()) {
		return full, nil // not one of ours, nor to be read
	}
	secret, err := r.deps.Secrets.Get(ctx, kube.BootstrapTokenSecretName(b.TokenID()), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return full, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read secret of token %s: %w", b.TokenID(), err)
	}
	if t, ours := parse(secret, r.cluster, r.deps.Purpose); ours {
		full.IssuedAt, full.ExpiresAt = t.Issued, t.Expires
	}
	return full, nil
}
