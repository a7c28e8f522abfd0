package loop

import (
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/autoscaler/distrust"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/observe"
)

// changes remembers when nodes last changed in what decides whether pods fit there.
// A node that is not in it has not changed since the loop began to look.
type changes struct {
	mu    sync.Mutex // guards nodes
	nodes map[string]distrust.Node
}

func newChanges() *changes { return &changes{nodes: map[string]distrust.Node{}} }

func (c *changes) note(node string, now time.Time, pods bool) {
	if node == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[node]
	if pods {
		n.PodsChanged = now
	} else {
		n.Changed = now
	}
	c.nodes[node] = n
}

// of gives the nodes with when they changed, and forgets all others.
func (c *changes) of(nodes []*corev1.Node) []distrust.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]distrust.Node, 0, len(nodes))
	kept := make(map[string]distrust.Node, len(nodes))
	for _, node := range nodes {
		n := c.nodes[node.Name]
		kept[node.Name] = n
		n.Name, n.Created = node.Name, node.CreationTimestamp.Time
		out = append(out, n)
	}
	c.nodes = kept
	return out
}

// node takes note of a node's new state; before is nil when it is new.
func (c *changes) node(before, after *corev1.Node, now time.Time) {
	if before == nil || matters(before, after) || !maps.Equal(before.Labels, after.Labels) ||
		!apiequality.Semantic.DeepEqual(before.Status.Allocatable, after.Status.Allocatable) {
		c.note(after.Name, now, false)
	}
}

// pod takes note of a pod's new state, nil for one that was not there or is gone.
func (c *changes) pod(before, after *corev1.Pod, now time.Time) {
	if before != nil && after != nil && before.Spec.NodeName == after.Spec.NodeName && kube.Finished(before) == kube.Finished(after) &&
		kube.Terminating(before) == kube.Terminating(after) && before.Generation == after.Generation && maps.Equal(before.Labels, after.Labels) {
		return
	}
	for _, p := range [2]*corev1.Pod{before, after} {
		if p != nil {
			c.note(p.Spec.NodeName, now, true)
		}
	}
}

// volumes follows what CSI drivers say about nodes, and what is attached to them.
func (c *changes) volumes() cache.ResourceEventHandler {
	look := func(obj any) {
		switch o := observe.Deleted(obj).(type) {
		case *storagev1.CSINode:
			c.note(o.Name, time.Now(), false)
		case *storagev1.VolumeAttachment:
			c.note(o.Spec.NodeName, time.Now(), false)
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: look, UpdateFunc: func(_, obj any) { look(obj) }, DeleteFunc: look}
}
