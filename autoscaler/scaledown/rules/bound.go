package rules

// excluded: a Node that is not bound to an instance by EC2's facts says nothing
// about any instance, so none is ended for it.
func excluded(_ *Context, n *NodeFacts) string { return n.Excluded }
