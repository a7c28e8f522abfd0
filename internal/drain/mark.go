package drain

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// OtherNodeError says that the Node of the name is another one than was meant.
type OtherNodeError struct {
	// Node is its name.
	Node string
}

// Error names the Node.
func (e *OtherNodeError) Error() string { return "node " + e.Node + " is another one now" }

// nodePatch is a JSON merge patch (RFC 7386) of a Node: a nil annotation or label is removed;
// taints are replaced as a whole, which the resource version makes safe.
type nodePatch struct {
	Metadata patchMeta  `json:"metadata"`
	Spec     *patchSpec `json:"spec,omitempty"`
}

type patchMeta struct {
	UID             types.UID          `json:"uid,omitempty"` // a precondition
	ResourceVersion string             `json:"resourceVersion,omitempty"`
	Annotations     map[string]*string `json:"annotations,omitempty"`
	Labels          map[string]*string `json:"labels,omitempty"`
}

type patchSpec struct {
	Taints        []corev1.Taint `json:"taints"`
	Unschedulable *bool          `json:"unschedulable,omitempty"`
}

// Mark taints and cordons a Node that is about to go:
//   - it gets kube.ToBeDeletedTaint with the time;
//   - one that no operator had cordoned gets kube.CordonedAnnotation;
//   - with since, it gets kube.DrainingAnnotation with the time.
//
// An error is *OtherNodeError for another UID, and says NotFound if there is no Node.
func Mark(ctx context.Context, client kubernetes.Interface, name string, uid types.UID, since bool) error {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	return change(ctx, client, name, uid, func(n *corev1.Node) *nodePatch {
		taint := corev1.Taint{Key: kube.ToBeDeletedTaint, Value: at, Effect: corev1.TaintEffectNoSchedule}
		p := &nodePatch{Metadata: patchMeta{Annotations: map[string]*string{}}, Spec: &patchSpec{Taints: append(kube.Unmarked(n), taint)}}
		if since {
			p.Metadata.Annotations[kube.DrainingAnnotation] = &at
		}
		if !n.Spec.Unschedulable {
			yes, ours := true, "true"
			p.Spec.Unschedulable, p.Metadata.Annotations[kube.CordonedAnnotation] = &yes, &ours
		}
		return p
	})
}

// OutOfService gives a Node Kubernetes' taint for one whose machine is gone for good: the
// controllers then detach its volumes by force and finish its pods (KEP-2268). A Node that
// has it is not touched. Errors are as for Mark.
func OutOfService(ctx context.Context, client kubernetes.Interface, name string, uid types.UID) error {
	return change(ctx, client, name, uid, func(n *corev1.Node) *nodePatch {
		if kube.HasTaint(n, corev1.TaintNodeOutOfService) {
			return nil
		}
		taint := corev1.Taint{Key: corev1.TaintNodeOutOfService, Value: "nodeshutdown", Effect: corev1.TaintEffectNoExecute}
		return &nodePatch{Spec: &patchSpec{Taints: append(slices.Clone(n.Spec.Taints), taint)}}
	})
}

// Own reports whether a mark on the Node is Joinery's, and no other autoscaler's:
//   - Joinery cordoned the Node or drains it;
//   - or it counted the Node as unneeded: that alone precedes the mark of a Node that an
//     operator had cordoned.
func Own(n *corev1.Node) bool {
	_, cordoned := n.Annotations[kube.CordonedAnnotation]
	_, draining := n.Annotations[kube.DrainingAnnotation]
	_, unneeded := n.Labels[v1alpha1.UnneededSinceLabel]
	return cordoned || draining || kube.Marked(n) && unneeded
}

// Unmark takes the mark back, and the cordon if it is ours. A Node without a mark and
// an annotation of ours is not touched. With an empty uid any Node of the name is meant.
// An error is *OtherNodeError for another UID, and says NotFound if there is no Node.
func Unmark(ctx context.Context, client kubernetes.Interface, name string, uid types.UID) error {
	return change(ctx, client, name, uid, func(n *corev1.Node) *nodePatch {
		_, cordoned := n.Annotations[kube.CordonedAnnotation]
		_, draining := n.Annotations[kube.DrainingAnnotation]
		if !cordoned && !draining && !kube.Marked(n) {
			return nil
		}
		p := &nodePatch{Metadata: patchMeta{Annotations: map[string]*string{}}, Spec: &patchSpec{Taints: kube.Unmarked(n)}}
		if draining {
			p.Metadata.Annotations[kube.DrainingAnnotation] = nil
		}
		if cordoned {
			no := false
			p.Spec.Unschedulable, p.Metadata.Annotations[kube.CordonedAnnotation] = &no, nil
		}
		return p
	})
}

// RemoveTaint removes each taint of a key. A Node without one is not touched. Errors are
// as for Mark.
func RemoveTaint(ctx context.Context, client kubernetes.Interface, name string, uid types.UID, key string) error {
	return change(ctx, client, name, uid, func(n *corev1.Node) *nodePatch {
		if !kube.HasTaint(n, key) {
			return nil
		}
		kept := slices.DeleteFunc(slices.Clone(n.Spec.Taints), func(t corev1.Taint) bool { return t.Key == key })
		return &nodePatch{Spec: &patchSpec{Taints: kept}}
	})
}

// change reads a Node and patches it as decided, again when another client changed it in
// between. A nil patch changes nothing.
func change(ctx context.Context, client kubernetes.Interface, name string, uid types.UID, decide func(*corev1.Node) *nodePatch) error {
	nodes := client.CoreV1().Nodes()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		n, err := nodes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if uid != "" && n.UID != uid {
			return &OtherNodeError{Node: name}
		}
		p := decide(n)
		if p == nil {
			return nil
		}
		p.Metadata.ResourceVersion = n.ResourceVersion
		return patch(ctx, client, name, p)
	})
	if err != nil {
		return fmt.Errorf("patch node %s: %w", name, err)
	}
	return nil
}

func patch(ctx context.Context, client kubernetes.Interface, name string, p *nodePatch) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{})
	return err
}

// Label sets a label of the Node of that UID, or removes it for nil, whatever it was. A
// Node that was made again is another one: that is an error that says Conflict.
func Label(ctx context.Context, client kubernetes.Interface, name string, uid types.UID, key string, value *string) error {
	return patch(ctx, client, name, &nodePatch{Metadata: patchMeta{UID: uid, Labels: map[string]*string{key: value}}})
}
