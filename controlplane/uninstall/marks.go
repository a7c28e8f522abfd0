package uninstall

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// marks are what Joinery wrote onto a Node.
type marks struct {
	labels, annotations []string
	condition           bool
	lines               []Line
}

// own reports whether a label or an annotation is Joinery's, by the domain of its key.
func own(key string) bool {
	domain, _, found := strings.Cut(key, "/")
	return found && (domain == v1alpha1.OwnLabelDomain || domain == "joinery.dev")
}

// marksOf finds the marks of a Node. Labels and taints of a NodeConfig are the operator's
// and stay.
func marksOf(n *corev1.Node) marks {
	m := marks{lines: removal(n)}
	for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
		if own(key) {
			m.labels = append(m.labels, key)
			m.lines = append(m.lines, Line{Object: "Node/" + n.Name, Removed: "label " + key})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(n.Annotations)) {
		if own(key) {
			m.annotations = append(m.annotations, key)
			m.lines = append(m.lines, Line{Object: "Node/" + n.Name, Removed: "annotation " + key})
		}
	}
	m.condition = kube.Condition(n, v1alpha1.ScaleDownReady) != nil
	if m.condition {
		m.lines = append(m.lines, Line{Object: "Node/" + n.Name, Removed: "condition " + v1alpha1.ScaleDownReady})
	}
	return m
}

// withoutCondition is a strategic merge patch of a Node's status.
const withoutCondition = `{"status":{"conditions":[{"$patch":"delete","type":"` + v1alpha1.ScaleDownReady + `"}]}}`

// remove takes labels, annotations and the condition off the Node of that name.
func (m marks) remove(ctx context.Context, client kubernetes.Interface, name string) error {
	gone := func(keys []string) map[string]any { // in a merge patch null removes (RFC 7386)
		out := map[string]any{}
		for _, key := range keys {
			out[key] = nil
		}
		return out
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": gone(m.labels), "annotations": gone(m.annotations)}})
	if err != nil {
		return err
	}
	if _, err := client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("patch node %s: %w", name, err)
	}
	if !m.condition {
		return nil
	}
	if _, err := client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, []byte(withoutCondition), metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("patch status of node %s: %w", name, err)
	}
	return nil
}
