package drain

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/internal/wait"
)

// detachPoll is how often AwaitDetached looks.
const detachPoll = 2 * time.Second

// AwaitDetached waits until no volume of a pod that left is attached to the node, for
// timeout at most, and returns the volumes that still are. A pod that moved with its
// volume cannot start before: when an instance ends with volumes attached to it, they are
// detached by force after six minutes.
//
// Volumes of pods that are still on the node, such as a DaemonSet's, go with it.
func AwaitDetached(ctx context.Context, client kubernetes.Interface, node string, timeout time.Duration) ([]string, error) {
	for end := time.Now().Add(timeout); ; {
		left, err := attached(ctx, client, node)
		if err != nil || len(left) == 0 || !time.Now().Before(end) {
			return left, err
		}
		if err := wait.For(ctx, detachPoll); err != nil {
			return left, err
		}
	}
}

// attached returns the persistent volumes that are attached to the node and that no pod on
// it uses.
func attached(ctx context.Context, client kubernetes.Interface, node string) ([]string, error) {
	list, err := client.StorageV1().VolumeAttachments().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list volume attachments: %w", err)
	}
	var left []string
	for i := range list.Items {
		if a := &list.Items[i]; a.Spec.NodeName == node && a.Spec.Source.PersistentVolumeName != nil {
			left = append(left, *a.Spec.Source.PersistentVolumeName)
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	used, err := inUse(ctx, client, node)
	if err != nil {
		return nil, err
	}
	left = slices.DeleteFunc(left, func(volume string) bool { return used[volume] })
	slices.Sort(left)
	return left, nil
}

// inUse returns the persistent volumes of the pods that are on the node.
func inUse(ctx context.Context, client kubernetes.Interface, node string) (map[string]bool, error) {
	pods, err := PodsOn(ctx, client, node)
	if err != nil {
		return nil, err
	}
	claims := map[types.NamespacedName]bool{}
	for _, p := range pods {
		claimsOf(p, claims)
	}
	if len(claims) == 0 {
		return nil, nil
	}
	volumes, err := client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list persistent volumes: %w", err)
	}
	used := map[string]bool{}
	for i := range volumes.Items {
		if ref := volumes.Items[i].Spec.ClaimRef; ref != nil && claims[types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}] {
			used[volumes.Items[i].Name] = true
		}
	}
	return used, nil
}

// claimsOf adds the claims that a pod uses, those that were made for it among them.
func claimsOf(p *corev1.Pod, claims map[types.NamespacedName]bool) {
	for i := range p.Spec.Volumes {
		switch v := &p.Spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			claims[types.NamespacedName{Namespace: p.Namespace, Name: v.PersistentVolumeClaim.ClaimName}] = true
		case v.Ephemeral != nil:
			claims[types.NamespacedName{Namespace: p.Namespace, Name: p.Name + "-" + v.Name}] = true
		}
	}
}
