package rules

// inService is the state of an instance that its group counts on.
const inService = "InService"

// outOfService: an instance that somebody has put on standby, or that a lifecycle
// hook holds, is in other hands. Cluster Autoscaler does not look.
func outOfService(_ *Context, n *NodeFacts) string {
	if n.LifecycleState == "" || n.LifecycleState == inService {
		return ""
	}
	return "the instance is " + n.LifecycleState
}
