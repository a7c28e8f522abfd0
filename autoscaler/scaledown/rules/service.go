package rules

// outOfService: an instance that somebody has put on standby, or that a lifecycle
// hook holds, is in other hands. Cluster Autoscaler does not look.
func outOfService(_ *Context, n *NodeFacts) string {
	if n.LifecycleState == "" || n.LifecycleState.InService() {
		return ""
	}
	return "the instance is " + string(n.LifecycleState)
}
