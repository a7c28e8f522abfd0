package act

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/wait"
)

const (
	// drainPoll is how often a drain looks whether the pods are gone.
	drainPoll = time.Second
	// evictEvery is how often an eviction that a disruption budget refused (429)
	// is asked for again.
	evictEvery = 5 * time.Second
	// overdue is how far past its grace period a pod may be before it is no
	// longer waited for, as in Cluster Autoscaler: its kubelet is gone.
	overdue = 30 * time.Second
	// daemonAnnotation makes a pod count as a DaemonSet's, as in Cluster
	// Autoscaler.
	daemonAnnotation = "cluster-autoscaler.kubernetes.io/daemonset-pod"
)

// drain evicts the removal's pods and waits until they are gone. It ends early
// when a pod turns up that the plan did not know, and at DrainTimeout.
func (e *Executor) drain(parent context.Context, r scaledown.Removal) error {
	ctx, cancel := context.WithTimeout(parent, e.o.DrainTimeout)
	defer cancel()
	d := &drainer{e: e, r: r, asked: map[types.UID]time.Time{}, refusals: map[types.UID]error{}}
	for {
		left, err := d.step(ctx)
		switch {
		case err == nil && left == 0:
			return nil
		case err == nil:
			err = wait.For(ctx, drainPoll)
		}
		if err == nil {
			continue
		}
		if parent.Err() == nil && ctx.Err() != nil {
			return fmt.Errorf("not drained within %s: %d pods left: %w", e.o.DrainTimeout, d.left, errors.Join(d.lastRefusals()...))
		}
		return err
	}
}

// drainer is one drain.
type drainer struct {
	e        *Executor
	r        scaledown.Removal
	left     int
	asked    map[types.UID]time.Time // when an eviction was last asked for
	refusals map[types.UID]error     // the last refusal, while it is one
}

// step asks for the evictions that are due and returns how many pods are left.
func (d *drainer) step(ctx context.Context) (int, error) {
	pods, err := d.e.podsToMove(ctx, d.r.Node)
	if err != nil {
		return 0, err
	}
	d.left = len(pods)
	if err := unplanned(pods, d.r); err != nil {
		return 0, err
	}
	for _, p := range pods {
		if p.DeletionTimestamp != nil || time.Since(d.asked[p.UID]) < evictEvery {
			continue
		}
		d.asked[p.UID] = time.Now()
		if err := d.evict(ctx, p); err != nil {
			return 0, err
		}
	}
	return d.left, nil
}

// evict asks for one eviction. A refusal for now (429) is kept and is no error.
func (d *drainer) evict(ctx context.Context, p *corev1.Pod) error {
	err := d.e.o.Kube.PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}},
	})
	delete(d.refusals, p.UID)
	switch {
	case err == nil:
		d.count("accepted")
		d.e.o.Events.Eventf(p, corev1.EventTypeNormal, "ScaleDown", "evicted: node %s is removed from group %s", d.r.Node, d.r.Group)
		return nil
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		// Gone, or another pod of that name: the next look tells.
		d.count("gone")
		return nil
	case apierrors.IsTooManyRequests(err):
		d.count("refused")
		d.refusals[p.UID] = fmt.Errorf("evict pod %s/%s: %w", p.Namespace, p.Name, err)
		return nil
	}
	d.count("failed")
	return fmt.Errorf("evict pod %s/%s: %w", p.Namespace, p.Name, err)
}

func (d *drainer) count(result string) {
	d.e.o.Metrics.evictions.WithLabelValues(result).Inc()
}

func (d *drainer) lastRefusals() []error {
	var errs []error
	for _, err := range d.refusals {
		errs = append(errs, err)
	}
	slices.SortFunc(errs, func(a, b error) int {
		if a.Error() < b.Error() {
			return -1
		}
		return 1
	})
	return errs
}

// podsToMove reads afresh which pods on the node have to go before it may.
func (e *Executor) podsToMove(ctx context.Context, node string) ([]*corev1.Pod, error) {
	list, err := e.o.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("list pods of node %s: %w", node, err)
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		if p := &list.Items[i]; p.Spec.NodeName == node && movable(p, time.Now()) {
			pods = append(pods, p)
		}
	}
	return pods, nil
}

// movable says whether a pod has to leave its node before the node goes:
// mirror and DaemonSet pods live and die with it, ended pods do no work.
func movable(p *corev1.Pod, now time.Time) bool {
	_, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]
	daemon := cluster.OwnedByDaemonSet(p) || p.Annotations[daemonAnnotation] == "true"
	if mirror || daemon || cluster.Terminal(p) {
		return false
	}
	return p.DeletionTimestamp == nil || now.Sub(p.DeletionTimestamp.Time) < overdue
}

// unplanned names a pod that the plan did not mean to move. Pods that leave by
// themselves and expendable ones are no obstacle.
func unplanned(pods []*corev1.Pod, r scaledown.Removal) error {
	for _, p := range pods {
		if p.DeletionTimestamp == nil && !cluster.Expendable(p) && !slices.Contains(r.Pods, cluster.Key(p)) {
			return fmt.Errorf("pod %s/%s came to the node after the plan", p.Namespace, p.Name)
		}
	}
	return nil
}
