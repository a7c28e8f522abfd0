package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
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
	ctx, cancel := context.WithTimeout(ctx, patience)
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

// Issued says whether the token of that id is one of this cluster's and of this
// rotator's purpose, so of its group, and was not revoked, by the API server's
// own answer and not a cache's.
func (r *Rotator) Issued(ctx context.Context, id string) (bool, error) {
	list, err := r.deps.Secrets.List(ctx, metav1.ListOptions{
		LabelSelector: r.selector(),
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, namePrefix+id).String(),
	})
	if err != nil {
		return false, fmt.Errorf("look for token %s: %w", id, err)
	}
	return slices.ContainsFunc(list.Items, func(s corev1.Secret) bool {
		t, ours := parse(&s, r.cluster, r.deps.Purpose)
		return ours && t.ID == id
	}), nil
}

func (r *Rotator) selector() string {
	return labels.Set{v1alpha1.ClusterLabel: r.cluster}.String()
}

func (r *Rotator) observe(ctx context.Context, requests []string) (State, error) {
	s := State{Requests: requests}
	var err error
	if s.Cluster, err = r.deps.Source.Cluster(ctx); err != nil {
		return s, err
	}
	if s.Tokens, err = r.tokens(ctx); err != nil {
		return s, err
	}
	var stored bundle.Stored
	if stored, s.Unreadable, err = r.published(ctx, s.Cluster); err != nil {
		return s, err
	}
	s.Published, s.Modified = stored.Bundle, stored.Modified
	return s, nil
}

// tokens lists our own.
func (r *Rotator) tokens(ctx context.Context) ([]Token, error) {
	list, err := r.deps.Secrets.List(ctx, metav1.ListOptions{LabelSelector: r.selector()})
	if err != nil {
		return nil, fmt.Errorf("list token secrets: %w", err)
	}
	var out []Token
	for i := range list.Items {
		if t, ours := parse(&list.Items[i], r.cluster, r.deps.Purpose); ours {
			out = append(out, t)
		}
	}
	return out, nil
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
	secret, err := r.deps.Secrets.Get(ctx, namePrefix+b.TokenID(), metav1.GetOptions{})
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
