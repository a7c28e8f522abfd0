package validate

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
)

// step is a placement that makes sense as far as one can see without the
// scheduler.
type step struct {
	// pod is the cluster's own, whatever the plan made of it, as its controller
	// would make it anew.
	pod  *corev1.Pod
	node *node
}

// steps checks the placements and gives those that are for the scheduler to
// judge.
func (c *check) steps(pods []*corev1.Pod, placements []cluster.Placement) []step {
	known := make(map[types.UID]*corev1.Pod, len(pods))
	for _, pod := range pods {
		known[pod.UID] = pod
	}
	var steps []step
	for _, p := range placements {
		if p.Pod == nil || known[p.Pod.UID] == nil {
			problem := Problem{Node: p.Node, Message: "the plan places a pod that does not exist"}
			if p.Pod != nil {
				problem.Pod = cluster.Key(p.Pod)
			}
			c.problems = append(c.problems, problem)
			continue
		}
		pod, n := known[p.Pod.UID], c.world.nodes[p.Node]
		if why := c.senseless(pod, p.Node, n); why != "" {
			c.podProblem(pod, p.Node, why)
		} else {
			steps = append(steps, step{unbound(pod), n})
		}
		c.named[pod.UID] = true
	}
	return steps
}

// senseless says why the scheduler could not even be asked to put the pod on the
// node. Empty when it can.
func (c *check) senseless(pod *corev1.Pod, name string, n *node) string {
	switch {
	case c.named[pod.UID]:
		return "the plan places the pod twice"
	case pod.Spec.NodeName != "" && !c.removed[pod.Spec.NodeName] && !c.displaced[pod.UID]:
		return "the pod has a node already: " + pod.Spec.NodeName
	case kube.Finished(pod), kube.Terminating(pod) && !c.displaced[pod.UID]:
		return "the pod has ended or is ending"
	case len(pod.Spec.SchedulingGates) > 0:
		return "the pod is gated"
	case len(pod.Spec.ResourceClaims) > 0:
		return "dynamic resource claims are not simulated"
	case pod.Spec.SchedulingGroup != nil:
		return "gangs are not simulated"
	case c.removed[name]:
		return "the plan removes the node"
	case n == nil:
		return "the node does not exist"
	case n.unusable != "":
		return "the node is unusable: " + n.unusable
	}
	return ""
}

// checkLeft finds the pods of removed nodes that the plan forgets.
func (c *check) checkLeft(removed []string) {
	seen := map[string]bool{}
	for _, name := range removed {
		if !c.removed[name] || seen[name] {
			continue
		}
		seen[name] = true
		for _, pod := range c.present[name].Pods() {
			if !c.named[pod.UID] && needsPlace(pod) {
				c.podProblem(pod, name, "the plan removes the node and has no other place for the pod")
			}
		}
	}
}

// needsPlace reports whether the pod, which has not ended, is to run on when its
// node goes: it does not belong to the node, is not on its way out and is not
// expendable.
func needsPlace(pod *corev1.Pod) bool {
	return !kube.MirrorPod(pod) && !kube.DaemonSetPod(pod) && !kube.Terminating(pod) && !cluster.Expendable(pod)
}

// unbound is the pod before it had a node.
func unbound(pod *corev1.Pod) *corev1.Pod {
	out := *pod
	out.Spec.NodeName, out.DeletionTimestamp = "", nil
	return &out
}

// bound is the pod once the scheduler has chosen the node.
func bound(pod *corev1.Pod, node string) *corev1.Pod {
	out := *pod
	out.Spec.NodeName = node
	return &out
}
