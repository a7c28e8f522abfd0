package drain

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
)

// PodsOn reads from the API server the pods that are assigned to the node, of all kinds
// and phases.
func PodsOn(ctx context.Context, client kubernetes.Interface, node string) ([]*corev1.Pod, error) {
	list, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("list pods of node %s: %w", node, err)
	}
	var out []*corev1.Pod
	for i := range list.Items {
		// An API server in memory, as tests have it, knows no field selectors.
		if p := &list.Items[i]; p.Spec.NodeName == node {
			out = append(out, p)
		}
	}
	return out, nil
}
