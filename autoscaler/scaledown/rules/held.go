package rules

// held: local software keeps its node through the node's agent, see Report.
func held(c *Context, n *NodeFacts) string {
	said, _, text := Report(n.Node, c.Now, c.ReportTimeout)
	if said != SaysHold {
		return ""
	}
	return c.keeps(n.Node, "the node is held by its agent: "+text)
}
