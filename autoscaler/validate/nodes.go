package validate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
)

// remove notes the removed nodes.
func (c *check) remove(names []string) {
	for _, name := range names {
		st := c.present[name]
		switch {
		case st == nil:
			c.nodeProblem(name, "the plan removes a node that does not exist")
			continue
		case c.removed[name]:
			c.nodeProblem(name, "the plan removes the node twice")
			continue
		case st.Group == "":
			c.nodeProblem(name, "the plan removes a node that is of no group")
		default:
			c.shrunk[st.Group]++
		}
		c.removed[name] = true
	}
}

// addPresent puts the nodes into the world, with their pods: those that stay, and those
// that leave as the scheduler sees them until they are gone.
func (c *check) addPresent(gone []string) {
	for _, st := range c.snapshot.Nodes() {
		name := st.Node().Name
		switch {
		case slices.Contains(gone, name):
			continue
		case c.removed[name] || st.Leaving():
			n := newNode(st.Draining().Node(), c.staying(st))
			n.unusable = "the node is being removed"
			c.world.add(n)
			continue
		}
		n := newNode(st.Node(), st.Pods())
		n.unusable = st.Unusable
		n.starts, n.attachLimits = st.Registering(), st.AttachLimits
		c.world.add(n)
	}
}

// staying are the pods that are on a leaving node until it is gone.
func (c *check) staying(st *cluster.NodeState) []*corev1.Pod {
	var out []*corev1.Pod
	for i := range st.Residents {
		if p := st.Residents[i].Pod; !kube.NeedsEviction(p, c.snapshot.Now()) {
			out = append(out, p)
		}
	}
	return out
}

// addNew puts the new nodes into the world, as their groups' templates are.
func (c *check) addNew(nodes []cluster.NewNode) {
	for _, n := range nodes {
		g := c.snapshot.Group(n.Group)
		if g == nil {
			c.nodeProblem(n.Name, "the new node is of group %q, which does not exist", n.Group)
			continue
		}
		c.grown[n.Group]++
		if g.Template == nil {
			c.nodeProblem(n.Name, "the new node is of group %q, which has no template: %v", n.Group, g.TemplateError)
			continue
		}
		if c.present[n.Name] != nil || c.world.nodes[n.Name] != nil {
			c.nodeProblem(n.Name, "the new node has the name of another")
			continue
		}
		if len(g.Zones) > 0 && !slices.Contains(g.Zones, n.Zone) {
			c.nodeProblem(n.Name, "the new node is in zone %q, where group %q launches none", n.Zone, n.Group)
		}
		added := newNode(imagine(c.snapshot, n))
		added.starts, added.attachLimits = true, g.Template.AttachLimits
		c.world.add(added)
	}
}

// imagine gives the new node as it will be when it has joined, with the pods of
// the daemons that run on it.
func imagine(s *cluster.Snapshot, n cluster.NewNode) (*corev1.Node, []*corev1.Pod) {
	return s.NewNodePods(n.Group, n.Name, n.Zone)
}

// checkSizes holds the groups that the plan changes against their bounds. A
// group that is out of them already is not the plan's fault.
func (c *check) checkSizes() {
	for _, g := range c.snapshot.Groups() {
		if n := c.grown[g.Name]; n > 0 && g.Desired+n > g.Max {
			c.nodeProblem("", "group %q of desired size %d would grow by %d nodes beyond its maximum of %d", g.Name, g.Desired, n, g.Max)
		}
		// Instances beyond the desired capacity go without a place in it.
		if n := c.shrunk[g.Name]; n > 0 && g.Desired+g.Surplus()-n < g.Min {
			c.nodeProblem("", "group %q of desired size %d would shrink by %d nodes below its minimum of %d", g.Name, g.Desired, n, g.Min)
		}
	}
}
