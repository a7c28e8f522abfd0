package act

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/kube"
)

// evictor evicts the pods of one removal. A failure takes the removal back, so it stops
// the others.
func (e *Executor) evictor(r scaledown.Removal) *drain.Evictor {
	return drain.NewEvictor(drain.Options{
		Client: e.o.Kube, StopAtFailure: true, Turns: e.o.Turns,
		Count: func(result drain.Result) { e.o.Metrics.evictions.WithLabelValues(string(result)).Inc() },
		Accepted: func(p *corev1.Pod) {
			e.o.Events.Eventf(p, corev1.EventTypeNormal, "ScaleDown", "evicted: node %s is removed from group %s", r.Node, r.Group)
		},
	})
}

// unplanned names a pod that the plan did not mean to move. Pods that are terminating
// and expendable ones are no obstacle.
func unplanned(r scaledown.Removal) func([]*corev1.Pod) error {
	return func(pods []*corev1.Pod) error {
		for _, p := range pods {
			if !kube.Terminating(p) && !cluster.Expendable(p) && !slices.Contains(r.Pods, cluster.Key(p)) {
				return fmt.Errorf("pod %s/%s came to the node after the plan", p.Namespace, p.Name)
			}
		}
		return nil
	}
}

// unmark takes the mark back. A node that is gone or carries none is a success.
func (e *Executor) unmark(ctx context.Context, name string) error {
	if err := drain.Unmark(ctx, e.o.Kube, name, ""); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

// awaitDetached waits until the volumes of the pods that left are detached, see
// drain.AwaitDetached. What cannot be read or takes too long is told and keeps no node.
func (e *Executor) awaitDetached(ctx context.Context, node string) error {
	if e.o.DetachTimeout < 0 {
		return nil
	}
	left, err := drain.AwaitDetached(ctx, e.o.Kube, node, e.o.DetachTimeout)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		e.o.Log.Warn("volumes of a drained node are not waited for", "node", node, "error", err)
	case len(left) > 0:
		e.o.Log.Warn("volumes of a drained node are still attached, its instance ends", "node", node, "volumes", left)
	}
	return nil
}
