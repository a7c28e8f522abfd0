package awssim

import (
	"context"
	"time"

	"github.com/joinery/joinery/internal/wait"
)

// Hypervisor runs instances as machines. Each method blocks until the machine
// is in the state asked for. The world calls it from one goroutine per
// instance, one call at a time; ctx ends early when the instance is terminated
// while it starts, and when the world is closed.
type Hypervisor interface {
	// Start boots a new machine, or one that was stopped. An error ends the
	// instance: it goes to terminated with StateReason Server.InternalError.
	Start(ctx context.Context, i Instance) error
	// Stop shuts a machine down in order. It is also called for one whose guest
	// has powered itself off (see World.Halted) and then only tidies up.
	Stop(ctx context.Context, instanceID string) error
	Reboot(ctx context.Context, instanceID string) error
	Terminate(ctx context.Context, instanceID string) error
}

// instance is the table entry behind an Instance.
type instance struct {
	Instance
	shutdownBehavior string // what Halted does: stop or terminate
	creds            *session
	identityCreds    *session             // of the identity role
	noIdentityRole   bool                 // see SetInstanceIdentity
	imdsTokens       map[string]time.Time // token -> expiry
	pendingTime      time.Time            // of the identity document
	endTime          time.Time            // when it became terminated
	target           string               // target-lifecycle-state; empty: 404
	spotAction       string               // terminate, stop or hibernate; empty: none
	spotTime         time.Time
	rebalanceTime    time.Time
	maintenance      []MaintenanceEvent
	rootDevice       string
	volumes          []*volume // attached
	reservID         string
	halted           bool // the guest powered itself off before the start was done

	signedDocument, signature, signatureMessage string // identity document and its signatures; empty: not signed yet

	jobs        []job  // machine work still to do, in order
	working     bool   // a goroutine is doing jobs
	abortLaunch func() // cancels a Start under way; nil when none
}

// job is one piece of work on an instance's machine.
type job struct {
	name string
	do   func(context.Context) error
	// done runs under the lock afterwards.
	done  func(error)
	start bool          // may be cancelled by a termination
	quiet time.Duration // how long it takes without a Hypervisor
}

// runLocked queues work on the instance's machine. Without a Hypervisor it is
// over at once, or after the time that the world's Timing gives it.
func (w *World) runLocked(i *instance, j job) {
	if w.Hypervisor == nil && j.quiet <= 0 && len(i.jobs) == 0 && !i.working {
		j.done(nil)
		return
	}
	i.jobs = append(i.jobs, j)
	if !i.working && !w.closed {
		i.working = true
		w.work.Go(func() { w.workOn(i) })
	}
}

// workOn does an instance's jobs until none is left.
func (w *World) workOn(i *instance) {
	for {
		w.mu.Lock()
		if len(i.jobs) == 0 || w.closed {
			i.working = false
			w.mu.Unlock()
			return
		}
		j := i.jobs[0]
		i.jobs = i.jobs[1:]
		ctx, cancel := context.WithCancel(w.ctx)
		if j.start {
			i.abortLaunch = cancel
		}
		w.mu.Unlock()

		err := w.perform(ctx, j)
		cancel()
		w.mu.Lock()
		i.abortLaunch = nil
		if err != nil && !w.closed {
			w.Log.Warn("hypervisor", "instance", i.ID, "job", j.name, "error", err)
		}
		if !w.closed {
			w.changingLocked()
			j.done(err)
		}
		w.mu.Unlock()
	}
}

func (w *World) perform(ctx context.Context, j job) error {
	if w.Hypervisor == nil {
		return wait.For(ctx, j.quiet)
	}
	return j.do(ctx)
}
