package nodes

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/kube"
)

// detachFor is how long a Node may wait for its volumes to be detached. The controller
// that does that looks at the Node's taint, so the Node goes after the volumes.
const detachFor = time.Minute

// goneFor is how long a Node whose instance is shutting down may wait for EC2 to say that
// it is gone: until then the machine may run what its pods are.
const goneFor = 5 * time.Minute

// proven reports whether EC2 proves that the Node's instance does not run any more:
//   - it shows the instance as terminated; or
//   - it does not know it, has said so for long enough (see Plan), our agent reported on
//     the Node, so it was an instance of this account once, and its kubelet is silent: one
//     that speaks runs, whatever EC2 does not show.
//
// A silent kubelet proves nothing, nor does an instance that is shutting down.
func (d Deletion) proven() bool {
	switch d.Verdict.Reason {
	case binding.InstanceGone:
		return d.Verdict.Instance.State == "terminated"
	case binding.NoSuchInstance:
		return d.Reported && !d.Ready
	}
	return false
}

// finish ends what is left of a Node before it is deleted, and reports whether the Node
// may go now. Without it the pods of a StatefulSet and their volumes wait for minutes.
//   - While the instance is shutting down, a Node with pods waits.
//   - Once it is proven gone, the Node gets Kubernetes' taint out-of-service, by which
//     volumes are detached by force (KEP-2268), and its pods are deleted by force.
func (j *Janitor) finish(ctx context.Context, d Deletion, waited time.Duration) (done bool, err error) {
	if d.Lie || d.Verdict.Reason == binding.InstanceStopped {
		return true, nil
	}
	pods, err := j.left(ctx, d.Name)
	if err != nil {
		return false, err
	}
	if !d.proven() {
		return len(pods) == 0 || waited >= goneFor, nil
	}
	node, err := j.deps.Client.CoreV1().Nodes().Get(ctx, d.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && string(node.UID) != d.UID {
		return true, nil // gone, or another Node by now; the deletion bears the UID
	}
	if err != nil {
		return false, fmt.Errorf("read node %s: %w", d.Name, err)
	}
	if d.Ready = kube.KubeletReady(node); !d.proven() {
		return false, nil // it spoke since it was planned about
	}
	if len(pods) == 0 && len(node.Status.VolumesAttached) == 0 {
		return true, nil
	}
	if err := drain.OutOfService(ctx, j.deps.Client, d.Name, types.UID(d.UID)); err != nil {
		return false, fmt.Errorf("taint node %s: %w", d.Name, err)
	}
	for _, p := range pods {
		if err := j.forceDelete(ctx, d, p); err != nil {
			return false, err
		}
	}
	return len(node.Status.VolumesAttached) == 0 || waited >= detachFor, nil
}

// left reads the pods of the Node that no kubelet will end. Those of DaemonSets and
// static ones go with the Node.
func (j *Janitor) left(ctx context.Context, node string) ([]*corev1.Pod, error) {
	pods, err := drain.PodsOn(ctx, j.deps.Client, node)
	return slices.DeleteFunc(pods, func(p *corev1.Pod) bool { return kube.MirrorPod(p) || kube.DaemonSetPod(p) || kube.Finished(p) }), err
}

// forceDelete deletes a pod whose machine is gone, so that another may take its name.
func (j *Janitor) forceDelete(ctx context.Context, d Deletion, p *corev1.Pod) error {
	now := int64(0)
	err := j.deps.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.UID},
	})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	case err != nil:
		return fmt.Errorf("delete pod %s/%s of node %s by force: %w", p.Namespace, p.Name, d.Name, err)
	}
	j.metrics.forced.Inc()
	j.deps.Events.Eventf(p, corev1.EventTypeWarning, "PodFinished", "deleted by force: instance %s of node %s is gone: %s", d.Verdict.InstanceID, d.Name, d.Why)
	j.deps.Log.Warn("pod deleted by force", "pod", p.Namespace+"/"+p.Name, "node", d.Name, "instance", d.Verdict.InstanceID, "why", d.Why)
	return nil
}
