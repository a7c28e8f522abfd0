package scaledown

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// placeIncoming puts the pods that wait for a node on the nodes where they would
// land, so that these are kept: first on nodes that stay anyway and on capacity
// on its way, then on candidates. A pod that fits nowhere keeps no node.
func (p *planner) placeIncoming() {
	for i := range p.arriving {
		pod := &p.arriving[i]
		if !placeable(pod.Class) {
			continue
		}
		if n := p.l.Nominate(*pod); n >= 0 {
			p.neededBy[n] = pod
			continue
		}
		if n := p.moves.wait(pod); n >= 0 && p.neededBy[n] == nil {
			p.neededBy[n] = pod
		}
	}
}

// placeable reports whether a plan looks for places for pods of the class.
func placeable(c *cluster.Class) bool {
	return !c.Expendable() && c.Unsupported == "" && (c.Volumes == nil || c.Volumes.Refused == "")
}

// decide tries to do without the node. When that works out, the ledger goes on
// without it.
func (p *planner) decide(c *candidate) {
	if c.lost {
		p.decideLost(c)
		return
	}
	if pod := p.neededBy[c.at]; pod != nil {
		p.needed(c.node, NeededByPods, fmt.Sprintf("pod %s is to run here", cluster.Key(pod.Pod)))
		return
	}
	if c.group.spare <= 0 || c.group.room <= 0 {
		p.needed(c.node, MinSizeReached, fmt.Sprintf("group %s is at its minimum of %d", c.group.Name, c.group.Min))
		return
	}
	if c.full != "" && c.group.surplus == 0 {
		p.needed(c.node, NotUnderutilized, c.full)
		return
	}
	if c.wait != "" {
		p.depart()
	}
	if cause, text := p.tryWithout(c); text != "" {
		p.needed(c.node, cause, text)
		return
	}
	c.group.take(c.node.Zone)
	p.decision.Unneeded[c.node.Name()] = c.unneeded
	if !p.goesNow(c) {
		p.budgets.giveBack()
		p.l.Depart(c.at)
		return
	}
	p.leaving = append(p.leaving, c.at)
	p.removing++
	if !c.empty() {
		p.draining++
	}
	p.chosen = append(p.chosen, c)
}

// take has a node of the zone go.
func (g *group) take(zone string) {
	g.spare--
	g.room--
	g.surplus = max(0, g.surplus-1)
	g.gone[zone]++
}

// depart has the nodes be gone that leave now: what goes later is judged as the cluster
// will be then.
func (p *planner) depart() {
	for _, n := range p.leaving {
		p.l.Depart(n)
	}
	p.leaving = nil
}

// goesNow reports whether an unneeded node may go with this plan, and what it waits for
// if not.
func (p *planner) goesNow(c *candidate) bool {
	switch {
	case c.wait != "":
		p.waitingUntil(c)
		return false
	case p.brake != "":
		p.waiting(c, TooManyUnready, p.brake)
		return false
	case p.removing >= p.o.MaxParallel:
		p.waiting(c, MaxParallelReached, fmt.Sprintf("%d nodes are being removed", p.removing))
		return false
	case !c.empty() && p.draining >= p.o.MaxDrains:
		p.waiting(c, MaxParallelReached, fmt.Sprintf("%d nodes are being drained", p.draining))
		return false
	}
	if other := p.sharesSystem(c); other != "" {
		p.waiting(c, MaxParallelReached, "system pods of one kind move one at a time: node "+other+" is being removed")
		return false
	}
	return true
}

// sharesSystem names a node on its way out that runs a pod of kube-system of the
// same controller as one on this node, where no disruption budget keeps the two
// apart: both copies of cluster DNS must not go in one plan. It takes note of the
// node's own such pods when there is no such node.
func (p *planner) sharesSystem(c *candidate) string {
	var own []types.UID
	for _, pod := range c.toMove {
		owner := p.uncovered(pod)
		if owner == "" {
			continue
		}
		if other := p.system[owner]; other != "" {
			return other
		}
		own = append(own, owner)
	}
	for _, owner := range own {
		p.system[owner] = c.node.Name()
	}
	return ""
}

// tryWithout drains the node in the ledger and finds a place for its pods on the
// ready nodes that remain. Nothing is changed when it says why not.
func (p *planner) tryWithout(c *candidate) (Cause, string) {
	p.l.Fork()
	p.l.Drain(c.at)
	homes, stuck := p.moves.move(c.toMove)
	if stuck != nil {
		p.l.Revert()
		return NoPlaceToMovePods, fmt.Sprintf("pod %s would find no place on another node", cluster.Key(stuck.Pod))
	}
	counted, dropped := p.counted(c.toMove), p.counted(c.toDrop)
	if refused := p.budgets.take(counted, dropped); refused != "" {
		p.l.Revert()
		p.moves.reset(c.toMove)
		return BlockedByPod, refused
	}
	if g := p.tooLittleLeft(); g != nil {
		p.l.Revert()
		p.moves.reset(c.toMove)
		p.budgets.giveBack()
		return Headroom, fmt.Sprintf("group %s keeps the room of %d node(s) free", g.Name, g.Headroom)
	}
	p.l.Commit()
	for i, n := range homes {
		if p.neededBy[n] == nil {
			p.neededBy[n] = &c.toMove[i]
		}
	}
	return "", ""
}

// tooLittleLeft gives a group that now has less headroom than it is to keep and
// than it had, nil when there is none.
func (p *planner) tooLittleLeft() *group {
	for _, g := range p.frugal {
		var h fit.Headroom
		for _, n := range g.nodes {
			h.Add(p.l, n)
		}
		if !h.Enough(p.l.NewCapacity(g.Name, p.l.NextZone(g.Name)), g.Headroom) {
			return g
		}
	}
	return nil
}

func (p *planner) removal(c *candidate) Removal {
	r := Removal{
		Node: c.node.Name(), UID: c.node.Node().UID, Group: c.group.Name, InstanceID: c.node.Instance.ID, Empty: c.empty(),
		Reason: fmt.Sprintf("empty since %s", c.since.UTC().Format(time.RFC3339)),
	}
	if c.lost {
		r.Lost, r.Empty = true, true
		r.Reason = fmt.Sprintf("not ready since %s", c.since.UTC().Format(time.RFC3339))
		return r
	}
	if !r.Empty {
		r.Reason = fmt.Sprintf("used at %.0f %% and its pods fit elsewhere, since %s",
			100*c.utilization, c.since.UTC().Format(time.RFC3339))
	}
	evicted := slices.Concat(c.toMove, c.toDrop)
	slices.SortFunc(evicted, func(a, b cluster.Pod) int { return cluster.ComparePods(a.Pod, b.Pod) })
	for _, pod := range evicted {
		r.Pods = append(r.Pods, cluster.Key(pod.Pod))
	}
	return r
}
