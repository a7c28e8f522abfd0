package token

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/internal/drive"
)

// secrets is the part of client-go's SecretInterface that Rotator uses. It is
// asked for nothing but the Secrets of the Purpose's ids.
type secrets interface {
	Create(context.Context, *corev1.Secret, metav1.CreateOptions) (*corev1.Secret, error)
	Get(context.Context, string, metav1.GetOptions) (*corev1.Secret, error)
	Delete(context.Context, string, metav1.DeleteOptions) error
}

// store is the part of bundle.Store that Rotator uses.
type store interface {
	Get(context.Context) (bundle.Stored, error)
	// Put sends nothing after the deadline of its context, and returns the
	// version that it made.
	Put(context.Context, *v1alpha1.JoinBundle) (version int64, err error)
	Check(*v1alpha1.JoinBundle) error
}

// source gives the facts of the cluster; bundle.Source in production.
type source interface {
	Cluster(context.Context) (bundle.Cluster, error)
}

// observer hears what the rotator did; Metrics in production.
type observer interface {
	Rotated(r Reason)
	// Published is told with each round that succeeded when the published
	// token was issued and when it expires.
	Published(issued, expires time.Time)
	Deleted(id string)
	Trouble(err error)
}

// Rotator keeps one live token published. It keeps no state of its own: it may
// die at any instruction and its successor goes on from what it observes.
type Rotator struct {
	cluster string
	deps    Deps
	log     *slog.Logger
	options Options
	now     func() time.Time
	busy    chan struct{} // holds a value while a round runs
	wake    *drive.Wake

	mu    sync.Mutex
	asked []string // ids of the requests of Rotate that no round has met yet
}

// Deps are what a Rotator works with.
type Deps struct {
	// Purpose of the tokens; Join when empty.
	Purpose Purpose
	// Secrets of the namespace kube-system.
	Secrets secrets
	// Store is where the bundle goes.
	Store store
	// Source gives the facts of the cluster.
	Source source
	// Confirm says whether this process leads now, by asking and not by
	// remembering; leader.Election.Confirm in production. Nil: it always does.
	Confirm func(context.Context) error
	// Observer hears what was done.
	Observer observer
	// Log gets one line for each rotation, deletion and trouble.
	Log *slog.Logger
	// Meter counts the rounds; nil for none.
	Meter *drive.Meter
}

// NewRotator returns the rotator of cluster.
func NewRotator(cluster string, d Deps, o Options) *Rotator {
	r := &Rotator{
		cluster: cluster, deps: d, log: d.Log.With("part", "token"), options: o, now: time.Now,
		busy: make(chan struct{}, 1), wake: drive.NewWake(),
	}
	if d.Purpose != Join {
		r.log = r.log.With("purpose", d.Purpose)
	}
	if o.Now != nil {
		r.now = o.Now
	}
	return r
}

// Wake makes the rotator look at once, as after a token's Secret was deleted.
func (r *Rotator) Wake() { r.wake.Now() }

// Rotate asks for a rotation now.
func (r *Rotator) Rotate() {
	r.mu.Lock()
	r.asked = append(r.asked, uuid.NewString())
	r.mu.Unlock()
	r.Wake()
}

// waiting are the requests of Rotate.
func (r *Rotator) waiting() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.asked...)
}

// answered forgets the first n requests of Rotate.
func (r *Rotator) answered(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = r.asked[n:]
}

// Bounds of the wait after a failure, of which the first is also the shortest
// between two rounds.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// timeout bounds one round, so that no connection that hangs ends all rotation.
const timeout = time.Minute

// lookEvery is the longest rest: the rotator rests until its next look is due.
const lookEvery = 24 * time.Hour

// Run rotates until ctx ends. Failures are logged, counted and retried; a
// request that met a failure is not forgotten.
func (r *Rotator) Run(ctx context.Context) error {
	return drive.Rounds{
		Name: "token", Round: r.round, Every: lookEvery, Retry: drive.Backoff{First: firstRetry, Last: lastRetry},
		Wake: r.wake, Meter: r.deps.Meter, Failed: r.deps.Observer.Trouble, Log: r.log,
	}.Run(ctx)
}

// round reconciles once. Reconcile bounds itself, as the callers of it that do not
// run here need too.
func (r *Rotator) round(ctx context.Context) (rest time.Duration, err error) {
	requests := r.waiting()
	round, err := r.Reconcile(ctx, requests...)
	if err != nil {
		return 0, fmt.Errorf("rotate token: %w", err)
	}
	r.answered(len(requests))
	return max(round.Next.Sub(r.now()), firstRetry), nil
}
