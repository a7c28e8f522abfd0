package uninstall

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/internal/wait"
)

const (
	// look is how often a Lease that has a holder is read: a leader renews it that often.
	look = time.Second
	// ours is the duration of our own Lease, that of a controller's.
	ours = 10 * time.Second
	// keepEvery is how old our last renewal may be when something is written: well
	// below the time after which a controller that stands by would take over.
	keepEvery = 2 * time.Second
)

func leases(client kubernetes.Interface) coordinationclient.LeaseInterface {
	return client.CoordinationV1().Leases(metav1.NamespaceSystem)
}

// read returns the Lease, or nil if there is none.
func read(ctx context.Context, client kubernetes.Interface) (*coordinationv1.Lease, error) {
	l, err := leases(client).Get(ctx, leader.LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Lease: %w", err)
	}
	return l, nil
}

// unled returns the Lease once no controller leads by it, or nil if there is none. Whether its
// holder lives is judged as other candidates do: by whether it changes within its
// duration here. The time in it is by another machine's clock.
func unled(ctx context.Context, client kubernetes.Interface) (*coordinationv1.Lease, error) {
	first, err := read(ctx, client)
	began := time.Now()
	for l := first; ; {
		if err != nil || l == nil || holder(l) == "" {
			return l, err
		}
		if l.ResourceVersion != first.ResourceVersion || l.UID != first.UID {
			return nil, fmt.Errorf("look at Lease kube-system/%s: it is held by %s: %w", l.Name, holder(l), ErrLed)
		}
		if time.Since(began) >= duration(l) {
			return l, nil
		}
		if err := wait.For(ctx, look); err != nil {
			return nil, fmt.Errorf("wait for the Lease to run out: %w", err)
		}
		l, err = read(ctx, client)
	}
}

func holder(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func duration(l *coordinationv1.Lease) time.Duration {
	if l.Spec.LeaseDurationSeconds == nil {
		return ours
	}
	return time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
}

// hold is the Lease in our hand: no controller begins to lead while we remove.
type hold struct {
	client  kubernetes.Interface
	lease   *coordinationv1.Lease
	renewed time.Time
}

// take takes the Lease as it was read, or makes one for nil. Another client may be faster: it leads then.
func take(ctx context.Context, client kubernetes.Interface, as *coordinationv1.Lease) (*hold, error) {
	identity, seconds, now := "joinery-uninstall_"+string(uuid.NewUUID()), int32(ours/time.Second), metav1.NowMicro()
	spec := coordinationv1.LeaseSpec{HolderIdentity: &identity, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now}
	h := &hold{client: client, renewed: now.Time}
	var err error
	if as == nil {
		h.lease, err = leases(client).Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: leader.LeaseName}, Spec: spec,
		}, metav1.CreateOptions{})
	} else {
		mine := as.DeepCopy()
		spec.LeaseTransitions = mine.Spec.LeaseTransitions
		mine.Spec = spec
		h.lease, err = leases(client).Update(ctx, mine, metav1.UpdateOptions{})
	}
	return h, lost("take", err)
}

// keep renews the Lease where that is due. It is called before each write.
func (h *hold) keep(ctx context.Context) error {
	now := metav1.NowMicro()
	if now.Sub(h.renewed) < keepEvery {
		return nil
	}
	mine := h.lease.DeepCopy()
	mine.Spec.RenewTime = &now
	renewed, err := leases(h.client).Update(ctx, mine, metav1.UpdateOptions{})
	if err != nil {
		return lost("renew", err)
	}
	h.lease, h.renewed = renewed, now.Time
	return nil
}

// remove deletes the Lease, if it is still ours.
func (h *hold) remove(ctx context.Context) error {
	err := leases(h.client).Delete(ctx, h.lease.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &h.lease.UID, ResourceVersion: &h.lease.ResourceVersion},
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return lost("delete", err)
}

// lost is ErrLed where an answer says that the Lease is not as we know it.
func lost(action string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%s Lease: %w: %w", action, ErrLed, err)
	}
	return fmt.Errorf("%s Lease: %w", action, err)
}
