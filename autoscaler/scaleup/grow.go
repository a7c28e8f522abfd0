package scaleup

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// maxReplays bounds how often a plan is placed anew after it has grown. Each
// replay that grows again adds nodes, so it would end by itself at the groups'
// maximum; plans without spread constraints need one.
const maxReplays = 8

// grow opens nodes for the pods and leaves the snapshot with the final plan
// placed. It returns the opened nodes in order and the pods that stay without.
func (p *planner) grow(pods []*corev1.Pod) ([]*cluster.NodeState, []*corev1.Pod) {
	var open []string
	for range maxReplays {
		p.s.Fork()
		home := maps.Clone(p.home)
		_, packer, rest := p.replay(pods, open)
		more := p.openFor(packer, rest, open)
		p.s.Revert()
		p.home = home
		if len(more) == len(open) {
			break
		}
		open = more
	}
	return p.settle(pods, open)
}

// replay places all pods on the present nodes and on new ones of the groups.
func (p *planner) replay(pods []*corev1.Pod, open []string) ([]*cluster.NodeState, *fit.Packer, []*corev1.Pod) {
	packer := p.present.Clone()
	nodes := make([]*cluster.NodeState, len(open))
	for i, group := range open {
		nodes[i] = p.s.AddPlanned(group, plannedName(group, i))
		packer.Add(nodes[i])
	}
	return nodes, packer, p.pack(packer, pods, nil)
}

// settle places the plan for good, without the nodes that turned out to be of no
// use. Only the last nodes of a group can go: the zones of those before them
// depend on their number.
func (p *planner) settle(pods []*corev1.Pod, open []string) ([]*cluster.NodeState, []*corev1.Pod) {
	p.s.Fork()
	home := maps.Clone(p.home)
	nodes, _, rest := p.replay(pods, open)
	trimmed := trim(nodes, open, p.home)
	p.s.Revert()
	if len(trimmed) < len(open) {
		p.home = maps.Clone(home)
		p.s.Fork()
		again, _, left := p.replay(pods, trimmed)
		if len(left) <= len(rest) {
			p.s.Commit()
			return again, left
		}
		p.s.Revert()
	}
	p.home = home
	nodes, _, rest = p.replay(pods, open)
	return nodes, rest
}

// trim drops the last nodes of each group while no pod is on them.
func trim(nodes []*cluster.NodeState, open []string, home map[*corev1.Pod]*cluster.NodeState) []string {
	used := map[*cluster.NodeState]bool{}
	for _, node := range home {
		used[node] = true
	}
	needed := map[string]bool{}
	var kept []string
	for i, group := range slices.Backward(open) {
		if needed[group] = needed[group] || used[nodes[i]]; needed[group] {
			kept = append(kept, group)
		}
	}
	slices.Reverse(kept)
	return kept
}

// openFor opens nodes, group by group, as long as a group helps a pod, and
// returns the groups of all opened nodes in order.
func (p *planner) openFor(packer *fit.Packer, rest []*corev1.Pod, open []string) []string {
	for len(rest) > 0 {
		best := p.bestOption(packer, rest, open)
		if best == nil {
			return open
		}
		f := p.fill(best.group, packer, rest, open)
		open, rest = f.open, f.rest
	}
	return open
}

// option is what growing one group would bring.
type option struct {
	group  *cluster.Group
	nodes  int
	helped int
	waste  float64
	// size is the group's, before this growth.
	size int
}

// better orders options, see the package comment. Groups are compared in the
// order of their names, so the first of equals stays.
func (o *option) better(than *option) bool {
	return than == nil || cmp.Or(
		cmp.Compare(o.waste, than.waste),
		cmp.Compare(o.nodes, than.nodes),
		cmp.Compare(o.size, than.size),
	) < 0
}

func (p *planner) bestOption(packer *fit.Packer, rest []*corev1.Pod, open []string) *option {
	var best *option
	for i := range p.s.Groups() {
		g := &p.s.Groups()[i]
		if p.refuses(g, open) != "" {
			continue
		}
		p.s.Fork()
		home := maps.Clone(p.home)
		f := p.fill(g, packer.Clone(), rest, open)
		o := &option{group: g, nodes: len(f.nodes), helped: len(rest) - len(f.rest), waste: waste(f.nodes), size: g.Desired + count(open, g.Name)}
		p.s.Revert()
		p.home = home
		if o.helped > 0 && o.better(best) {
			best = o
		}
	}
	return best
}

// refuses says why not one more node of the group may be opened, whatever the
// pod. Empty when one may.
func (p *planner) refuses(g *cluster.Group, open []string) string {
	mine := count(open, g.Name)
	nodes := len(p.s.Nodes())
	switch {
	case g.Template == nil:
		return templateReason(g)
	case g.BackedOff(p.now):
		return backoffReason(g)
	case g.Desired+mine >= g.Max:
		return fmt.Sprintf("max size %d reached", g.Max)
	case len(open) >= p.o.maxNodesPerPlan():
		return fmt.Sprintf("the plan is at its bound of %d new nodes", p.o.maxNodesPerPlan())
	case p.o.MaxNodesTotal > 0 && nodes >= p.o.MaxNodesTotal:
		return fmt.Sprintf("the cluster is at its bound of %d nodes", p.o.MaxNodesTotal)
	}
	return ""
}

// count tells how many of the opened nodes are of the group.
func count(open []string, group string) int {
	n := 0
	for _, name := range open {
		if name == group {
			n++
		}
	}
	return n
}

// waste is the share of the nodes' cpu and memory that stays unused, from 0 to 1.
func waste(nodes []*cluster.NodeState) float64 {
	if len(nodes) == 0 {
		return 0
	}
	used := 0.0
	for _, n := range nodes {
		used += share(n.Info.Requested.MilliCPU, n.Info.Allocatable.MilliCPU) / 2
		used += share(n.Info.Requested.Memory, n.Info.Allocatable.Memory) / 2
	}
	return 1 - used/float64(len(nodes))
}

func share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// plannedName names the i-th node that a plan opens. The name is never seen
// outside of the plan, except in a pod's simulated place.
func plannedName(group string, i int) string { return fmt.Sprintf("planned-%s-%d", group, i+1) }
