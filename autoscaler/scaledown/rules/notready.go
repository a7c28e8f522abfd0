package rules

// notReady: nothing that such a node says about its pods can be relied on, and
// what keeps it from being Ready is most often not the node's own. Cluster
// Autoscaler removes it after --scale-down-unready-time; Joinery leaves that to
// the operator.
func notReady(_ *Context, n *NodeFacts) string {
	if n.Starting {
		return "the node is starting"
	}
	return n.Unusable
}
