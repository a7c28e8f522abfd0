package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
)

// secrets is the part of client-go's SecretInterface that Rotator uses.
type secrets interface {
	Create(context.Context, *corev1.Secret, metav1.CreateOptions) (*corev1.Secret, error)
	Get(context.Context, string, metav1.GetOptions) (*corev1.Secret, error)
	List(context.Context, metav1.ListOptions) (*corev1.SecretList, error)
	Delete(context.Context, string, metav1.DeleteOptions) error
}

// store is the part of bundle.Store that Rotator uses.
type store interface {
	Get(context.Context) (*v1alpha1.JoinBundle, error)
	Put(context.Context, *v1alpha1.JoinBundle) error
}

// source gives the facts of the cluster; bundle.Source in production.
type source interface {
	Cluster() (bundle.Cluster, error)
}

// observer hears what the rotator did; Metrics in production.
type observer interface {
	Rotated(r Reason)
	// Published is told with each round that succeeded when the published
	// token expires.
	Published(expires time.Time)
	Deleted(id string)
	Trouble(err error)
}

// Rotator keeps one live token published. It keeps no state of its own: it may
// die at any instruction and its successor goes on from what it observes.
type Rotator struct {
	cluster  string
	secrets  secrets
	store    store
	source   source
	observer observer
	log      *slog.Logger
	options  Options
	wake     chan bool // true asks for a rotation, false for a look
}

// Deps are what a Rotator works with.
type Deps struct {
	// Secrets of the namespace kube-system.
	Secrets secrets
	// Store is where the bundle goes.
	Store store
	// Source gives the facts of the cluster.
	Source source
	// Observer hears what was done.
	Observer observer
	// Log gets one line for each rotation, deletion and trouble.
	Log *slog.Logger
}

// NewRotator returns the rotator of cluster.
func NewRotator(cluster string, d Deps, o Options) *Rotator {
	return &Rotator{
		cluster: cluster, secrets: d.Secrets, store: d.Store, source: d.Source, observer: d.Observer,
		log: d.Log.With("part", "token"), options: o, wake: make(chan bool, 1),
	}
}

// Wake makes the rotator look at once, as after a token's Secret was deleted.
func (r *Rotator) Wake() { r.signal(false) }

// Rotate asks for a rotation now.
func (r *Rotator) Rotate() { r.signal(true) }

// signal never blocks. A waiting request is not displaced by a mere look.
func (r *Rotator) signal(rotate bool) {
	for {
		select {
		case r.wake <- rotate:
			return
		default:
		}
		select {
		case waiting := <-r.wake:
			rotate = rotate || waiting
		default:
		}
	}
}

// Bounds of the wait after a failure.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// patience bounds one round, so that no connection that hangs ends all
// rotation.
const patience = time.Minute

// Run rotates until ctx ends. Failures are logged, counted and retried; a
// request that met a failure is not forgotten.
func (r *Rotator) Run(ctx context.Context) error {
	retry, requested := firstRetry, false
	for {
		bounded, cancel := context.WithTimeout(ctx, patience)
		next, err := r.Reconcile(bounded, requested)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := max(time.Until(next), 0)
		if err != nil {
			r.log.Error("token rotation", "error", err, "retryIn", retry)
			r.observer.Trouble(err)
			wait, retry = retry, min(2*retry, lastRetry)
		} else {
			requested, retry = false, firstRetry
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case rotate := <-r.wake:
			requested = requested || rotate
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Reconcile observes, plans and executes once, and returns when to look again.
// Rotated or not, tokens that are no longer needed are deleted.
func (r *Rotator) Reconcile(ctx context.Context, requested bool) (time.Time, error) {
	s, err := r.observe(ctx)
	if err != nil {
		return time.Time{}, err
	}
	s.Requested = requested
	d := Plan(s, time.Now(), r.options)
	if d.Rotate {
		if err := r.rotate(ctx, s.Cluster, d); err != nil {
			return time.Time{}, fmt.Errorf("rotate token (%s): %w", d.Reason, err)
		}
		if s, err = r.observe(ctx); err != nil {
			return time.Time{}, err
		}
		d = Plan(s, time.Now(), r.options)
	}
	if s.Published != nil {
		r.observer.Published(s.Published.ExpiresAt)
	}
	return d.Next, r.sweep(ctx, d.Delete)
}

// Issued says whether the token of that id is one of this cluster's and was not
// revoked, by the API server's own answer and not a cache's.
func (r *Rotator) Issued(ctx context.Context, id string) (bool, error) {
	list, err := r.secrets.List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{v1alpha1.ClusterLabel: r.cluster}.String(),
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, namePrefix+id).String(),
	})
	if err != nil {
		return false, fmt.Errorf("look for token %s: %w", id, err)
	}
	return slices.ContainsFunc(list.Items, func(s corev1.Secret) bool {
		t, ours := parse(&s, r.cluster)
		return ours && t.ID == id
	}), nil
}

func (r *Rotator) observe(ctx context.Context) (State, error) {
	var s State
	var err error
	if s.Cluster, err = r.source.Cluster(); err != nil {
		return s, err
	}
	list, err := r.secrets.List(ctx, metav1.ListOptions{LabelSelector: labels.Set{v1alpha1.ClusterLabel: r.cluster}.String()})
	if err != nil {
		return s, fmt.Errorf("list token secrets: %w", err)
	}
	for i := range list.Items {
		if t, ours := parse(&list.Items[i], r.cluster); ours {
			s.Tokens = append(s.Tokens, t)
		}
	}
	s.Published, err = r.store.Get(ctx)
	var absent *bundle.NotFoundError
	var invalid *v1alpha1.InvalidError
	switch {
	case errors.As(err, &absent):
	case errors.As(err, &invalid):
		s.Unreadable = "what is published is no join bundle: " + invalid.Error()
	case err != nil:
		return s, err
	}
	return s, nil
}

// rotate makes a token, sees that the API server has it, and only then
// publishes it: no agent ever reads a token that does not exist yet.
func (r *Rotator) rotate(ctx context.Context, c bundle.Cluster, d Decision) error {
	t := d.Reuse
	if t == nil {
		var err error
		if t, err = r.create(ctx); err != nil {
			return err
		}
	}
	if err := r.store.Put(ctx, c.Bundle(t.Text, t.Issued, t.Expires)); err != nil {
		return fmt.Errorf("publish token %s: %w", t.ID, err)
	}
	r.observer.Rotated(d.Reason)
	r.log.Info("token published", "id", t.ID, "reason", d.Reason, "detail", d.Detail, "expires", t.Expires)
	return nil
}

func (r *Rotator) create(ctx context.Context) (*Token, error) {
	text, err := generate()
	if err != nil {
		return nil, err
	}
	issued := time.Now().UTC().Truncate(time.Second)
	made := newSecret(r.cluster, text, issued, issued.Add(r.options.TTL))
	if _, err := r.secrets.Create(ctx, made, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create secret %s: %w", made.Name, err)
	}
	back, err := r.secrets.Get(ctx, made.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read back secret %s: %w", made.Name, err)
	}
	t, ours := parse(back, r.cluster)
	if !ours || t.Altered || t.Text != text {
		return nil, fmt.Errorf("read back secret %s: it is not what was made", made.Name)
	}
	return &t, nil
}

func (r *Rotator) sweep(ctx context.Context, old []Token) error {
	var failed []error
	for _, t := range old {
		uid := types.UID(t.UID)
		err := r.secrets.Delete(ctx, namePrefix+t.ID, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		switch {
		case apierrors.IsNotFound(err): // Kubernetes' own token cleaner was first
		case err != nil:
			failed = append(failed, fmt.Errorf("delete token %s: %w", t.ID, err))
		default:
			r.observer.Deleted(t.ID)
			r.log.Info("token deleted", "id", t.ID, "issued", t.Issued, "expires", t.Expires)
		}
	}
	return errors.Join(failed...)
}
