package leader

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// confirmations bounds the attempts of one Confirm. A conflict is met once for
// each renewal of our own elector that falls between reading and writing.
const confirmations = 3

// Confirm returns nil when this process held the Lease a moment ago, which the
// API server said itself, and holds it for leaseDuration from then on. It is
// for an act that another master must not have begun meanwhile, by a process
// that may have been stopped for hours without noticing. The error wraps
// ErrLost when the Lease is somebody else's.
//
// The Lease is renewed, not only read: who read it last just before it expired
// would have to act within no time at all. Our elector does not mind. Its next
// renewal carries a resource version that is no longer current and conflicts;
// it then reads the Lease, finds its own name and renews (client-go,
// leaderelection.go, tryAcquireOrRenew, "fast path" and step 2), all within one
// attempt. Other candidates count from when they saw the Lease change, so they
// wait for a whole leaseDuration from this renewal too.
func (e *Election) Confirm(ctx context.Context) error {
	var err error
	for range confirmations {
		// After the elector gave up, a renewal would only keep the next leader
		// waiting.
		if !e.Leading() {
			return fmt.Errorf("confirm lease: %w", ErrLost)
		}
		if err = e.renew(ctx); !apierrors.IsConflict(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("confirm lease: %w", err)
	}
	return nil
}

// renew writes the Lease back on the condition that it is as it was read.
func (e *Election) renew(ctx context.Context) error {
	leases := e.client.CoordinationV1().Leases(metav1.NamespaceSystem)
	l, err := leases.Get(ctx, LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ErrLost
	}
	if err != nil {
		return err
	}
	if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity != e.identity {
		return ErrLost
	}
	l.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
	_, err = leases.Update(ctx, l, metav1.UpdateOptions{})
	return err
}
