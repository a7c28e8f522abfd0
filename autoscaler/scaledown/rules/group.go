package rules

// groupless: what was not started by a managed group cannot be taken out of one.
func groupless(_ *Context, n *NodeFacts) string {
	if n.InGroup {
		return ""
	}
	return "the node belongs to no group"
}
