package rules

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/fleet"
)

// NodeFacts is a node with what is known of its group and instance.
type NodeFacts struct {
	Node *corev1.Node
	// InGroup: an instance of a managed group is behind the node.
	InGroup bool
	// Starting: the node is about to become Ready.
	Starting bool
	// Unusable says why nothing may be planned on the node. Empty when it may.
	Unusable string
	// Excluded says why the Node is neither bound to an instance nor adopted. Empty
	// when it is.
	Excluded string
	// LifecycleState is the instance's, as Auto Scaling names it. Empty when it
	// is not known.
	LifecycleState fleet.Lifecycle
	// Leaving: the instance is on its way out of its group.
	Leaving bool
}

// nodeRules are asked in this order; the first that speaks against the node's
// going counts. What no time will change comes first.
var nodeRules = [...]struct {
	cause Cause
	why   func(*Context, *NodeFacts) string
}{
	{NotBound, excluded},
	{NotAutoscaled, groupless},
	{ControlPlane, controlPlane},
	{Disabled, disabled},
	{BeingDeleted, beingDeleted},
	{NotReady, notReady},
	{OutOfService, outOfService},
	{Held, held},
}

// Node says in one word and in a sentence what speaks against the node's going,
// whatever runs on it. Both are empty when nothing does.
func (c *Context) Node(n NodeFacts) (cause Cause, why string) {
	for i := range nodeRules {
		if why = nodeRules[i].why(c, &n); why != "" {
			return nodeRules[i].cause, why
		}
	}
	return "", ""
}
