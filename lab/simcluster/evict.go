package simcluster

import (
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// Evictions answers evictions as the API server does: it refuses them by a disruption
// budget while Blocked is set, and the pod is gone otherwise.
type Evictions struct{ Blocked atomic.Bool }

// In has the API server in memory answer evictions, which it does not on its own.
func (e *Evictions) In(client *fake.Clientset) {
	client.PrependReactor("create", "pods", e.Answer(client))
}

// Answer returns the reaction by which In answers, for a test that reacts to all calls.
func (e *Evictions) Answer(client *fake.Clientset) clienttesting.ReactionFunc {
	return func(a clienttesting.Action) (bool, runtime.Object, error) {
		create, ok := a.(clienttesting.CreateAction)
		if !ok || a.GetSubresource() != "eviction" {
			return false, nil, nil
		}
		if e.Blocked.Load() {
			return true, nil, apierrors.NewTooManyRequests("the disruption budget cart needs 1 healthy pods", 0)
		}
		evicted := create.GetObject().(*policyv1.Eviction)
		return true, nil, client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), evicted.Namespace, evicted.Name)
	}
}
