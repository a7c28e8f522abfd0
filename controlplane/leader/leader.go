// Package leader runs the controller's services on the one master that holds
// the Lease. Every other master stands by.
package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/joinery/joinery/internal/drive"
)

// LeaseName is the Lease in kube-system.
const LeaseName = "joinery-controller"

// Timings of the election. A candidate looks every 1 to 2.2 s (client-go's
// JitterFactor), so that it sees a renewal up to 2.2 s late, counts leaseDuration
// from there, and takes over up to 2.2 s after that: within 15 s of a crash. The
// holder begins to renew a retryPeriod after the last renewal and gives up after
// renewDeadline: 3 s before another may lead.
const (
	leaseDuration = 10 * time.Second
	renewDeadline = 6 * time.Second
	retryPeriod   = time.Second
)

// ErrLost says that the Lease was lost to somebody else, or could not be
// renewed in time. The process must end: what it was doing is no longer its own.
var ErrLost = errors.New("lease lost")

// Access is what an Election does with the API server.
var Access = []drive.Access{
	{Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"create"}, Namespace: metav1.NamespaceSystem},
	{Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"get", "update"}, Namespace: metav1.NamespaceSystem, Names: []string{LeaseName}},
}

// Service is a part of the controller.
type Service struct {
	// Name for logs.
	Name string
	// Run works until ctx ends. It is called again after it returned early, so
	// it must not rely on having run only once.
	Run func(ctx context.Context) error
}

// Election is a master's candidacy.
type Election struct {
	client   kubernetes.Interface
	identity string
	log      *slog.Logger
	leading  atomic.Bool
}

// NewElection returns the candidacy of identity, which must be unique among the
// masters and over restarts.
func NewElection(client kubernetes.Interface, identity string, log *slog.Logger) *Election {
	return &Election{client: client, identity: identity, log: log.With("part", "leader")}
}

// Leading says whether this process holds the Lease now.
func (e *Election) Leading() bool { return e.leading.Load() }

// Run waits for the Lease and runs services while it is held. It returns nil
// after ctx ended, the services stopped and the Lease was given back, in this
// order, and ErrLost when the Lease was lost.
func (e *Election) Run(ctx context.Context, services ...Service) error {
	// The candidacy outlives ctx until the services stopped, or two masters
	// could act at once.
	electing, resign := context.WithCancel(context.WithoutCancel(ctx))
	defer resign()
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: LeaseName},
		Client:     e.client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: e.identity},
	}
	served := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod, Name: LeaseName,
		// Not ReleaseOnCancel: client-go would try that after a lost renewal
		// too, for up to renewDeadline and before it stops the services, which
		// would act on while another master leads.
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				e.serve(ctx, leading, services)
				close(served)
				resign()
			},
			OnStoppedLeading: func() { e.leading.Store(false) },
			OnNewLeader:      func(id string) { e.log.Info("leader", "identity", id, "self", id == e.identity) },
		},
	})
	if err != nil {
		return fmt.Errorf("set up election: %w", err)
	}
	// Who does not lead has nothing to stop first.
	defer context.AfterFunc(ctx, func() {
		if !e.leading.Load() {
			resign()
		}
	})()
	elector.Run(electing)
	if ctx.Err() == nil {
		return ErrLost
	}
	select {
	case <-served:
		e.release(context.WithoutCancel(ctx), lock)
	default: // it never led
	}
	return nil
}

// release gives the Lease back, so that another master need not wait until it
// expires. A failure costs only that.
func (e *Election) release(ctx context.Context, lock resourcelock.Interface) {
	ctx, cancel := context.WithTimeout(ctx, retryPeriod)
	defer cancel()
	is, _, err := lock.Get(ctx)
	if err == nil && is.HolderIdentity == e.identity {
		now := metav1.Now()
		// As client-go does it: a holder of no name, and a second to live.
		err = lock.Update(ctx, resourcelock.LeaderElectionRecord{
			LeaseDurationSeconds: 1, LeaderTransitions: is.LeaderTransitions, AcquireTime: now, RenewTime: now,
		})
	}
	if err != nil {
		e.log.Warn("give the Lease back", "error", err)
	}
}

// serve runs services until either context ends.
func (e *Election) serve(ctx, leading context.Context, services []Service) {
	e.leading.Store(true)
	working, stop := context.WithCancel(leading)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	var running sync.WaitGroup
	for _, s := range services {
		running.Go(func() { e.keep(working, s) })
	}
	running.Wait()
}

// Bounds of the pause before a service that ended is run again.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// keep runs s again and again, so that the trouble of one service is not the
// end of the others. A run of more than lastPause counts as a recovery.
func (e *Election) keep(ctx context.Context, s Service) {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		began := time.Now()
		err := s.Run(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		e.log.Error("service ended", "service", s.Name, "error", err, "again", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
