package hooks

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/internal/drain"
)

// evicted tells a pod's owner why it was evicted.
func evicted(events record.EventRecorder) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		events.Eventf(p, corev1.EventTypeNormal, "InstanceTerminating", "evicted: its group ends the instance of node %s", p.Spec.NodeName)
	}
}

// drain takes the next step for a Node: the mark first, so that nothing new comes, then
// one eviction for each pod that is not terminating yet.
func (l *Loop) drain(ctx context.Context, n Node) error {
	if !n.Marked {
		return gone(drain.Mark(ctx, l.deps.Client, n.Name, types.UID(n.UID), true))
	}
	return l.evictor.Evict(ctx, n.Pods)
}

// clear takes our mark off a Node that came back from a warm pool in which it kept
// running.
func (l *Loop) clear(ctx context.Context, n Node) error {
	return gone(drain.Unmark(ctx, l.deps.Client, n.Name, types.UID(n.UID)))
}

// gone returns no error for a Node that is gone, or is another one by now: it is left
// alone.
func gone(err error) error {
	var other *drain.OtherNodeError
	if apierrors.IsNotFound(err) || errors.As(err, &other) {
		return nil
	}
	return err
}
