package loop

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
)

const (
	// rivalLease is the Lease in kube-system by which replicas of Cluster
	// Autoscaler elect their leader.
	rivalLease = "cluster-autoscaler"
	// rivalAge is how long an answer is believed.
	rivalAge = 10 * time.Second
	// rivalLeaseDuration is Cluster Autoscaler's, for a Lease that names none.
	rivalLeaseDuration = 15 * time.Second
)

// rival watches for an active Cluster Autoscaler. Used by one goroutine.
type rival struct {
	kube   kubernetes.Interface
	events record.EventRecorder
	log    *slog.Logger

	asked  time.Time
	holder string // of the Lease while it is active; empty: there is none
}

func newRival(kube kubernetes.Interface, events record.EventRecorder, log *slog.Logger) *rival {
	return &rival{kube: kube, events: events, log: log}
}

// active returns who holds Cluster Autoscaler's Lease, empty when nobody does.
// An error means that it is not known, and that nothing must be done.
func (r *rival) active(ctx context.Context, now time.Time) (string, error) {
	if !r.asked.IsZero() && now.Sub(r.asked) < rivalAge {
		return r.holder, nil
	}
	lease, err := r.kube.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, rivalLease, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		r.note("", nil)
	case err != nil:
		r.asked = time.Time{}
		return "", fmt.Errorf("look for a Cluster Autoscaler: %w", err)
	default:
		r.note(holderOf(lease, now), lease)
	}
	r.asked = now
	return r.holder, nil
}

// note says once that a rival came or went.
func (r *rival) note(holder string, lease *coordinationv1.Lease) {
	switch {
	case holder != "" && r.holder == "":
		r.log.Warn("a Cluster Autoscaler is active: doing nothing beside it", "holder", holder)
		r.events.Eventf(lease, corev1.EventTypeWarning, "RivalAutoscaler",
			"Cluster Autoscaler %s is active: joinery-controller scales nothing beside it", holder)
	case holder == "" && r.holder != "":
		r.log.Info("the Cluster Autoscaler is gone: taking over", "holder", r.holder)
	}
	r.holder = holder
}

// holderOf returns the Lease's holder while it is renewed in time.
func holderOf(lease *coordinationv1.Lease, now time.Time) string {
	s := lease.Spec
	if s.HolderIdentity == nil || s.RenewTime == nil {
		return ""
	}
	life := rivalLeaseDuration
	if s.LeaseDurationSeconds != nil {
		life = time.Duration(*s.LeaseDurationSeconds) * time.Second
	}
	if now.Sub(s.RenewTime.Time) > life {
		return ""
	}
	return *s.HolderIdentity
}
