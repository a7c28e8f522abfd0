package cluster

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// ToBeDeletedTaint is Cluster Autoscaler's taint for a node that is being
// removed; its value is the Unix time at which that began.
const ToBeDeletedTaint = "ToBeDeletedByClusterAutoscaler"

// startupTaints are put on a node that is not ready yet and go by themselves:
// by the node lifecycle controller, the network plugin and the cloud provider.
var startupTaints = []string{
	corev1.TaintNodeNotReady,
	corev1.TaintNodeUnreachable,
	corev1.TaintNodeNetworkUnavailable,
	"node.cloudprovider.kubernetes.io/uninitialized",
}

// startupTaintPrefixes are Cluster Autoscaler's prefixes for taints that an
// operator's own start-up work removes.
var startupTaintPrefixes = []string{
	"startup-taint.cluster-autoscaler.kubernetes.io/",
	"ignore-taint.cluster-autoscaler.kubernetes.io/",
}

// Kind says how real a node of the snapshot is.
type Kind int

// The kinds of a node.
const (
	// Joined is a Node of the API server that is Ready, or that is not and is
	// not expected to become so (see NodeState.Unusable).
	Joined Kind = iota
	// Starting is a Node of the API server that is about to become Ready. Its
	// start-up taints are left out.
	Starting
	// Upcoming is imagined: an instance without a Node, or capacity that the
	// group has been asked for and that has no instance yet.
	Upcoming
	// Planned is imagined by a planner: it exists once the group is grown.
	Planned
)

// NodeState is one node of a snapshot.
type NodeState struct {
	// Info holds the node and its pods in the scheduler's form. Change it
	// through the Snapshot only.
	Info *framework.NodeInfo
	Kind Kind
	// Unusable says why nothing may be planned on the node. Empty when it may.
	Unusable string
	// Group is the name of the node's group, empty when it belongs to none.
	Group string
	// Instance is the group's member behind the node. Nil when there is none.
	Instance *Instance
	Zone     string
}

// Name is the name of the node.
func (n *NodeState) Name() string { return n.Info.Node().Name }

// Node is the node as the filters see it.
func (n *NodeState) Node() *corev1.Node { return n.Info.Node() }

// nodeInfo makes the scheduler's form of a node without pods.
func nodeInfo(node *corev1.Node) *framework.NodeInfo {
	info := framework.NewNodeInfo()
	info.SetNode(node)
	return info
}

// joinedState judges a Node of the API server.
func joinedState(node *corev1.Node, group *Group, inst *Instance, now time.Time) *NodeState {
	st := &NodeState{Kind: Joined, Instance: inst, Zone: node.Labels[corev1.LabelTopologyZone]}
	if group != nil {
		st.Group = group.Name
	}
	if inst != nil && inst.Zone != "" {
		st.Zone = inst.Zone
	}
	ready := readyStatus(node)
	starting := ready != corev1.ConditionTrue || hasStartupTaint(node)
	switch {
	case node.DeletionTimestamp != nil:
		st.Unusable = "the Node is being deleted"
	case hasTaint(node, ToBeDeletedTaint):
		st.Unusable = "the node is being removed"
	case inst != nil && inst.Leaving():
		st.Unusable = "the instance is " + inst.LifecycleState
	case starting && ready != corev1.ConditionUnknown && young(node.CreationTimestamp.Time, now):
		st.Kind = Starting
		node = withoutStartupTaints(node)
	case ready != corev1.ConditionTrue:
		st.Unusable = "the node is not ready"
	}
	st.Info = nodeInfo(node)
	return st
}

// readyStatus gives the status of condition Ready; a Node without the condition
// has not been reported on yet, which is False. Unknown means that the kubelet
// fell silent: such a node is lost, not starting.
func readyStatus(node *corev1.Node) corev1.ConditionStatus {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return corev1.ConditionFalse
}

// young reports whether what was made at t may still be starting at now.
func young(t, now time.Time) bool {
	return now.IsZero() || t.IsZero() || now.Sub(t) < StartupTimeout
}

func hasTaint(node *corev1.Node, key string) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

func isOperatorStartupTaint(t corev1.Taint) bool {
	return hasPrefix(t.Key, startupTaintPrefixes...)
}

// hasStartupTaint also finds the taints of a node whose kubelet already says
// Ready: the node lifecycle controller removes not-ready a moment later, and a
// plan made in between must not grow the group for the pods that this very node
// will take.
func hasStartupTaint(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, isStartupTaint)
}

func isStartupTaint(t corev1.Taint) bool {
	return slices.Contains(startupTaints, t.Key) || isOperatorStartupTaint(t)
}

// withoutStartupTaints copies the node without the taints that go when it has
// started.
func withoutStartupTaints(node *corev1.Node) *corev1.Node {
	out := *node
	out.Spec.Taints = slices.DeleteFunc(slices.Clone(node.Spec.Taints), isStartupTaint)
	return &out
}

// instanceIDOf reads the instance id out of a provider id. The zone in it is
// not looked at: a node whose provider id names another spelling of its zone is
// still that instance. Empty when there is none.
func instanceIDOf(providerID string) InstanceID {
	rest, ok := strings.CutPrefix(providerID, "aws://")
	if !ok {
		return ""
	}
	for _, part := range strings.Split(rest, "/") {
		if strings.HasPrefix(part, "i-") {
			return part
		}
	}
	return ""
}
