package cluster

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/joinery/joinery/internal/kube"
)

// Kind says how real a node of the snapshot is.
type Kind int

// The kinds of a node.
const (
	// Joined is a Node of the API server that is Ready, or that is not and is
	// not expected to become so (see NodeState.Unusable).
	Joined Kind = iota
	// Starting is a Node of the API server that is about to become Ready, or that
	// is Ready and does not have all yet that its group's template promises (see
	// Young). It counts with what is promised; its start-up taints are left out.
	Starting
	// Upcoming is imagined: an instance without a Node, or capacity that the
	// group has been asked for and that has no instance yet.
	Upcoming
	// Planned is imagined by a planner: it exists once the group is grown.
	Planned
)

// NodeState is one node of a snapshot. It is never changed: what a plan does is
// kept elsewhere (package fit).
type NodeState struct {
	Kind Kind
	// Unusable says why nothing may be planned on the node. Empty when it may.
	Unusable string
	// Excluded says why the Node counts as nothing at all: it is not bound to an
	// instance and not adopted. It is Unusable then, of no group, and has nothing
	// allocatable. Empty for every other node.
	Excluded string
	// Group is the name of the node's group, empty when it belongs to none.
	Group string
	// Instance is the group's member behind the node. Nil when there is none.
	Instance *Instance
	Zone     string
	// Residents are the pods bound to the node, by namespace and name; Daemons
	// those that are still to come there. Ended pods are in neither.
	Residents, Daemons []Pod
	// Allocatable is what pods may request, Used what those of the node do.
	Allocatable, Used Amounts
	// Size is the cpu and memory that the node's use is measured by: Allocatable,
	// but the hardware of its instance type where the node reports less than half
	// of that. A node that says it is tiny would count as full, and stay by it.
	Size Amounts
	// AttachLimits: CSI driver -> most volumes, where known.
	AttachLimits map[string]int32

	node *corev1.Node
	// csi is what CSI drivers say about the node; nil when they say nothing, and of
	// an imagined node.
	csi *storagev1.CSINode
	// young, see Young; settling if it may get what its group's template promises.
	young, settling bool
}

// Name is the name of the node.
func (n *NodeState) Name() string { return n.node.Name }

// Node is the node as the filters see it.
func (n *NodeState) Node() *corev1.Node { return n.node }

// Registering reports whether CSI drivers may still register on the node: it is
// imagined, starts, or is a young one of a group.
func (n *NodeState) Registering() bool { return n.Kind != Joined || n.young && n.Group != "" }

// has reports whether the CSI driver has registered on the node.
func (n *NodeState) has(driver string) bool {
	return n.csi != nil && slices.ContainsFunc(n.csi.Spec.Drivers, func(d storagev1.CSINodeDriver) bool { return d.Name == driver })
}

// migrates reports whether a CSI driver has taken the in-tree plugin's place on the
// node.
func (n *NodeState) migrates(plugin string) bool {
	return n.csi != nil && slices.Contains(strings.Split(n.csi.Annotations[corev1.MigratedPluginsAnnotationKey], ","), plugin)
}

// CSIText is the same for nodes of which VolumeNeeds.Refuses says the same, as far as
// CSI drivers decide it.
func (n *NodeState) CSIText() string {
	var e encoder
	e.flag(n.Registering())
	if n.csi != nil {
		e.str(n.csi.Annotations[corev1.MigratedPluginsAnnotationKey])
		for i := range n.csi.Spec.Drivers {
			e.str(n.csi.Spec.Drivers[i].Name)
		}
	}
	return string(e.buf)
}

// Pods are the pods on the node, those of daemons that are still to come at the
// end.
func (n *NodeState) Pods() []*corev1.Pod {
	pods := make([]*corev1.Pod, 0, len(n.Residents)+len(n.Daemons))
	for _, list := range [2][]Pod{n.Residents, n.Daemons} {
		for i := range list {
			pods = append(pods, list[i].Pod)
		}
	}
	return pods
}

// Ready reports whether the node's kubelet says so.
func (n *NodeState) Ready() bool { return kube.KubeletReady(n.node) }

// Empty reports whether only pods of DaemonSets and static pods are on the node.
func (n *NodeState) Empty() bool {
	for i := range n.Residents {
		if p := n.Residents[i].Pod; !kube.MirrorPod(p) && !kube.DaemonSetPod(p) {
			return false
		}
	}
	return true
}

// setNode sets the node and what follows from it.
func (n *NodeState) setNode(node *corev1.Node) {
	n.node = node
	n.Allocatable = AmountsOf(node.Status.Allocatable)
	n.Size = n.Allocatable
}

func (n *NodeState) setDaemons(pods []Pod) {
	n.Daemons = pods
	for i := range pods {
		n.Used.add(&pods[i].Class.Requests, 1)
	}
}

// judge finds out how a Node of the API server stands, and what it will have once it has
// settled (see complete). g is the node's group, nil when it has none.
func (n *NodeState) judge(node *corev1.Node, g *Group, rules *kube.TaintRules, now time.Time) {
	ready := kube.ReadyStatus(node)
	fresh := ready != corev1.ConditionUnknown && Young(node, n.Instance, now)
	switch {
	case n.Excluded != "":
		n.Unusable = n.Excluded
	case node.DeletionTimestamp != nil:
		n.Unusable = "the Node is being deleted"
	case kube.Marked(node):
		n.Unusable = "the node is being removed"
	case n.Instance != nil && n.Instance.Leaving():
		n.Unusable = "the instance is " + string(n.Instance.LifecycleState)
	case fresh && (ready != corev1.ConditionTrue || hasStartupTaint(node, rules)):
		n.Kind = Starting
		node = withoutStartupTaints(node, rules)
	case ready != corev1.ConditionTrue:
		n.Unusable = "the node is not ready"
	}
	if n.settling = fresh && n.Unusable == "" && n.promised(g); n.settling {
		node = n.complete(node, g.Template)
	}
	n.setNode(node)
}

// young reports whether what was made at t may still be starting at now.
func young(t, now time.Time) bool {
	return now.IsZero() || t.IsZero() || now.Sub(t) < StartupTimeout
}

// hasStartupTaint also finds the taints of a node whose kubelet already says
// Ready: the node lifecycle controller removes not-ready a moment later, and a
// plan made in between must not grow the group for the pods that this very node
// will take.
func hasStartupTaint(node *corev1.Node, rules *kube.TaintRules) bool {
	return slices.ContainsFunc(node.Spec.Taints, rules.StartupTaint)
}

// withoutStartupTaints copies the node without the taints that go when it has
// started.
func withoutStartupTaints(node *corev1.Node, rules *kube.TaintRules) *corev1.Node {
	out := *node
	out.Spec.Taints = slices.DeleteFunc(slices.Clone(node.Spec.Taints), rules.StartupTaint)
	return &out
}
