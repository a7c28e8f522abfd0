package rules

import "github.com/joinery/joinery/autoscaler/cluster"

// Departing reports whether somebody has begun to remove the node.
func (n *NodeFacts) Departing() bool {
	return n.Leaving || n.Node.DeletionTimestamp != nil || hasTaint(n.Node, cluster.ToBeDeletedTaint)
}

// beingDeleted: what goes already is not chosen again.
func beingDeleted(_ *Context, n *NodeFacts) string {
	if n.Departing() {
		return "the node is being removed"
	}
	return ""
}
