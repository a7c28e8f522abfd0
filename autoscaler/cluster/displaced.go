package cluster

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/kube"
)

// Leaving reports whether the pods of a Node are about to lose it:
//   - a removal of it has begun, or
//   - its instance is being terminated.
//
// A Node that counts as nothing leaves nothing behind.
func (n *NodeState) Leaving() bool {
	real := n.Kind == Joined || n.Kind == Starting
	return real && n.Excluded == "" && (kube.Marked(n.node) || n.Instance != nil && n.Instance.Leaving())
}

// Draining returns the node as it is once a removal of it has begun.
func (n *NodeState) Draining() *NodeState {
	node, out := *n.node, *n
	node.Spec.Unschedulable = true
	node.Spec.Taints = append(kube.Unmarked(n.node), corev1.Taint{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule})
	out.node = &node
	return &out
}

// Displaced are the pods of leaving nodes that will need another one, by node. They arrive
// like pending pods, and hold the places that they will take.
func (s *Snapshot) Displaced() []Pod {
	var out []Pod
	for _, st := range s.order {
		if !st.Leaving() {
			continue
		}
		for _, p := range st.Residents {
			if s.comesBack(p) {
				p.Class = s.WithVolumes(p)
				out = append(out, p)
			}
		}
	}
	return out
}

// comesBack reports whether a pod of a leaving node will be pending soon:
//   - it has to leave, and a controller makes another;
//   - the default scheduler will look for its place;
//   - it is not terminating, since then its successor is pending already. That of a
//     StatefulSet comes only once the pod is gone.
func (s *Snapshot) comesBack(p Pod) bool {
	switch {
	case !kube.NeedsEviction(p.Pod, s.now), p.Class.Expendable(), metav1.GetControllerOfNoCopy(p.Pod) == nil:
		return false
	case kube.Terminating(p.Pod) && !kube.StatefulSetPod(p.Pod):
		return false
	}
	name := p.Spec.SchedulerName
	return name == "" || name == corev1.DefaultSchedulerName
}
