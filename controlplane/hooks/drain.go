package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"
)

// drainer empties the Nodes of instances that their group ends.
type drainer struct {
	client kubernetes.Interface
	events record.EventRecorder
}

// podsLeft reads afresh which pods have to leave a node before it goes.
func (d drainer) podsLeft(ctx context.Context, node string, now time.Time) ([]Pod, error) {
	list, err := d.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("list pods of node %s: %w", node, err)
	}
	var out []Pod
	for i := range list.Items {
		if p := &list.Items[i]; p.Spec.NodeName == node && movable(p, now) {
			out = append(out, Pod{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Leaving: p.DeletionTimestamp != nil})
		}
	}
	return out, nil
}

// drain takes the next step for a node: the mark first, so that nothing new
// comes, then one eviction for each pod that was not told to leave yet.
func (d drainer) drain(ctx context.Context, h Held, n Node) error {
	if !n.Marked {
		return d.mark(ctx, n)
	}
	var failed []error
	for _, p := range n.Pods {
		if !p.Leaving {
			failed = append(failed, d.evict(ctx, h, n, p))
		}
	}
	return errors.Join(failed...)
}

// evict asks for one eviction. A disruption budget that refuses for now (429) is
// asked again at the next look.
func (d drainer) evict(ctx context.Context, h Held, n Node, p Pod) error {
	uid := types.UID(p.UID)
	err := d.client.PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}},
	})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or another pod of that name
		return nil
	case apierrors.IsTooManyRequests(err):
		return nil
	case err != nil:
		return fmt.Errorf("evict pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	pod := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: uid}
	d.events.Eventf(pod, corev1.EventTypeNormal, "InstanceTerminating", "evicted: group %s ends instance %s of node %s", h.Group, h.InstanceID, n.Name)
	return nil
}

// mark taints and cordons a Node, and writes on it since when it is drained.
func (d drainer) mark(ctx context.Context, n Node) error {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	return d.change(ctx, n, func(node *corev1.Node) map[string]any {
		notes := map[string]any{drainingAnnotation: now}
		if !node.Spec.Unschedulable {
			notes[cordonedAnnotation] = "true"
		}
		taint := corev1.Taint{Key: toBeDeleted, Value: now, Effect: corev1.TaintEffectNoSchedule}
		return nodePatch(node, notes, append(unmarked(node), taint), true)
	})
}

// clear takes our mark off a Node that came back from a warm pool in which it
// kept running.
func (d drainer) clear(ctx context.Context, n Node) error {
	return d.change(ctx, n, func(node *corev1.Node) map[string]any {
		_, ours := node.Annotations[cordonedAnnotation]
		notes := map[string]any{drainingAnnotation: nil, cordonedAnnotation: nil}
		return nodePatch(node, notes, unmarked(node), node.Spec.Unschedulable && !ours)
	})
}

// nodePatch is a JSON merge patch (RFC 7386). It replaces the taints as a whole,
// which the resource version makes safe.
func nodePatch(n *corev1.Node, notes map[string]any, taints []corev1.Taint, cordoned bool) map[string]any {
	return map[string]any{
		"metadata": map[string]any{"resourceVersion": n.ResourceVersion, "annotations": notes},
		"spec":     map[string]any{"taints": taints, "unschedulable": cordoned},
	}
}

func unmarked(n *corev1.Node) []corev1.Taint {
	kept := make([]corev1.Taint, 0, len(n.Spec.Taints)+1)
	for _, t := range n.Spec.Taints {
		if t.Key != toBeDeleted {
			kept = append(kept, t)
		}
	}
	return kept
}

// change patches a Node, again when somebody else changed it in between. One
// that is gone, or another by now, is left alone.
func (d drainer) change(ctx context.Context, n Node, patch func(*corev1.Node) map[string]any) error {
	nodes := d.client.CoreV1().Nodes()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		node, err := nodes.Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil || string(node.UID) != n.UID {
			return err
		}
		data, err := json.Marshal(patch(node))
		if err != nil {
			return err
		}
		_, err = nodes.Patch(ctx, n.Name, types.MergePatchType, data, metav1.PatchOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("patch node %s: %w", n.Name, err)
	}
	return nil
}
