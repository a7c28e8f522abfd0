package act

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// CordonedAnnotation on a Node says that Joinery cordoned it for a removal, so
// that a roll-back uncordons only what it cordoned itself.
const CordonedAnnotation = "joinery.dev/cordoned-for-removal"

// nodePatch is a JSON merge patch (RFC 7386) of a Node: a nil annotation is
// removed; taints are replaced as a whole, which the resource version makes
// safe.
type nodePatch struct {
	Metadata patchMeta  `json:"metadata"`
	Spec     *patchSpec `json:"spec,omitempty"`
}

type patchMeta struct {
	ResourceVersion string             `json:"resourceVersion,omitempty"`
	Annotations     map[string]*string `json:"annotations,omitempty"`
}

type patchSpec struct {
	Taints        []corev1.Taint `json:"taints"`
	Unschedulable *bool          `json:"unschedulable,omitempty"`
}

// mark taints and cordons a node that is about to go.
func (e *Executor) mark(ctx context.Context, name string, uid types.UID) error {
	return e.change(ctx, name, func(n *corev1.Node) (*nodePatch, error) {
		if n.UID != uid {
			return nil, fmt.Errorf("node %s is another one now", name)
		}
		p := &nodePatch{Spec: &patchSpec{Taints: append(withoutMark(n.Spec.Taints), corev1.Taint{
			Key: cluster.ToBeDeletedTaint, Value: strconv.FormatInt(time.Now().Unix(), 10), Effect: corev1.TaintEffectNoSchedule,
		})}}
		if !n.Spec.Unschedulable {
			yes, ours := true, "true"
			p.Spec.Unschedulable = &yes
			p.Metadata.Annotations = map[string]*string{CordonedAnnotation: &ours}
		}
		return p, nil
	})
}

// unmark takes the mark back. A node that is gone or carries none is a success.
func (e *Executor) unmark(ctx context.Context, name string) error {
	err := e.change(ctx, name, func(n *corev1.Node) (*nodePatch, error) {
		_, cordoned := n.Annotations[CordonedAnnotation]
		if !cordoned && !Marked(n) {
			return nil, nil
		}
		p := &nodePatch{Spec: &patchSpec{Taints: withoutMark(n.Spec.Taints)}}
		if cordoned {
			no := false
			p.Spec.Unschedulable = &no
			p.Metadata.Annotations = map[string]*string{CordonedAnnotation: nil}
		}
		return p, nil
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// change reads a node and patches it as decide says, again when somebody else
// changed it in between. A nil patch changes nothing.
func (e *Executor) change(ctx context.Context, name string, decide func(*corev1.Node) (*nodePatch, error)) error {
	nodes := e.o.Kube.CoreV1().Nodes()
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		n, err := nodes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		p, err := decide(n)
		if err != nil || p == nil {
			return err
		}
		p.Metadata.ResourceVersion = n.ResourceVersion
		return e.patch(ctx, name, p)
	})
}

func (e *Executor) patch(ctx context.Context, name string, p *nodePatch) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode patch of node %s: %w", name, err)
	}
	_, err = e.o.Kube.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{})
	return err
}

// Marked reports whether a removal of the node has begun.
func Marked(n *corev1.Node) bool { return slices.ContainsFunc(n.Spec.Taints, isMark) }

func withoutMark(taints []corev1.Taint) []corev1.Taint {
	kept := make([]corev1.Taint, 0, len(taints)+1)
	for _, t := range taints {
		if !isMark(t) {
			kept = append(kept, t)
		}
	}
	return kept
}

func isMark(t corev1.Taint) bool { return t.Key == cluster.ToBeDeletedTaint }
