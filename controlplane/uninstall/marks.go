package uninstall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/kube"
)

// oldUnneededAnnotation is where controllers before 2026-11-30 kept what is now in
// v1alpha1.UnneededSinceLabel.
const oldUnneededAnnotation = "joinery.dev/unneeded-since"

// annotations are those that Joinery writes onto Nodes. Of labels it is a whole domain,
// see v1alpha1.OwnLabel, in which no NodeConfig can set one. Others that begin with
// joinery.dev/ are the operator's.
var annotations = []string{kube.CordonedAnnotation, kube.DrainingAnnotation, v1alpha1.NodeReportAnnotation, oldUnneededAnnotation}

// part is what one request takes off a Node.
type part struct {
	lines []Line
	write func(context.Context) error
}

// parts finds what Joinery wrote onto a Node. The first is the mark of a removal that
// was begun, with its cordon: without the annotations, which go next, it could not be
// told from another's.
func (r *removal) parts(n *corev1.Node) []part {
	patch := func(data string, kind types.PatchType, subresources ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := r.Client.CoreV1().Nodes().Patch(ctx, n.Name, kind, []byte(data), metav1.PatchOptions{}, subresources...)
			return err
		}
	}
	var all []part
	if drain.Own(n) {
		all = append(all, part{mark(n), func(ctx context.Context) error { return drain.Unmark(ctx, r.Client, n.Name, n.UID) }})
	}
	if lines, data := metadata(n); len(lines) > 0 {
		all = append(all, part{lines, patch(data, types.MergePatchType)})
	}
	if kube.Condition(n, v1alpha1.ScaleDownReady) != nil {
		lines := []Line{{Object: "Node/" + n.Name, Removed: "condition " + v1alpha1.ScaleDownReady}}
		all = append(all, part{lines, patch(withoutCondition, types.StrategicMergePatchType, "status")})
	}
	return all
}

// withoutCondition is a strategic merge patch of a Node's status.
const withoutCondition = `{"status":{"conditions":[{"$patch":"delete","type":"` + v1alpha1.ScaleDownReady + `"}]}}`

// mark is the line of a Node that Joinery marked for a removal.
func mark(n *corev1.Node) []Line {
	if _, cordoned := n.Annotations[kube.CordonedAnnotation]; cordoned {
		return []Line{{Object: "Node/" + n.Name, Removed: "the mark of a removal, and its cordon"}}
	}
	return []Line{{Object: "Node/" + n.Name, Removed: "the mark of a removal"}}
}

// metadata returns a merge patch that takes labels and annotations off the Node.
func metadata(n *corev1.Node) ([]Line, string) {
	var lines []Line
	gone := map[string]map[string]any{"labels": {}, "annotations": {}} // in a merge patch null removes (RFC 7386)
	for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
		if v1alpha1.OwnLabel(key) {
			gone["labels"][key] = nil
			lines = append(lines, Line{Object: "Node/" + n.Name, Removed: "label " + key})
		}
	}
	for _, key := range annotations {
		if _, ok := n.Annotations[key]; ok {
			gone["annotations"][key] = nil
			lines = append(lines, Line{Object: "Node/" + n.Name, Removed: "annotation " + key})
		}
	}
	data, err := json.Marshal(map[string]any{"metadata": gone})
	if err != nil {
		panic(err) // strings and nulls
	}
	return lines, string(data)
}

// node takes the marks of one Node away. One that is gone, or another one by now, has
// none of those that were seen.
func (r *removal) node(ctx context.Context, n *corev1.Node) error {
	for _, p := range r.parts(n) {
		err := r.do(ctx, p.lines, p.write)
		var other *drain.OtherNodeError
		if apierrors.IsNotFound(err) || errors.As(err, &other) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("clear node %s: %w", n.Name, err)
		}
	}
	return nil
}
