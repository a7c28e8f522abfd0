package scaledown

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
	"github.com/joinery/joinery/internal/kube"
)

// Lost is a node whose kubelet has been silent or not Ready, though it had its time.
type Lost struct {
	Node  string `json:"node"`
	Group string `json:"group"`
	// Kept says what keeps the node; empty while it only waits, or is removed.
	Kept string `json:"kept,omitempty"`
	// Pods are those that end only with the node, by namespace and name; Claims is how
	// many of them have volumes that cannot be attached elsewhere until then.
	Pods   []string `json:"pods,omitempty"`
	Claims int      `json:"claims,omitempty"`
}

// lost reports whether only time keeps a node whose kubelet is not Ready. Nothing can be
// drained without a kubelet:
//   - pods that are terminating only wait for the node to go. They keep nothing;
//   - the others keep the node for its time. Then, if its kubelet is silent, they are as
//     dead as it is, and it goes if they fit elsewhere. One that still speaks (Ready is
//     False) could end them: it is left to the operator.
//
// An agent that outlives its kubelet keeps nothing; a hold does.
func (p *planner) lost(c *candidate) bool {
	n := c.node
	if !n.Lost() || p.o.UnreadyTime == never {
		return false
	}
	l := Lost{Node: n.Name(), Group: n.Group}
	for i := range n.Residents {
		if pod := n.Residents[i].Pod; kube.NeedsEviction(pod, pod.CreationTimestamp.Time) {
			l.Pods = append(l.Pods, cluster.Key(pod).String())
			if claims(pod) {
				l.Claims++
			}
		}
	}
	over := p.setLostWait(c)
	running := false
	if running, l.Kept = p.keepsLost(c); running && !over && l.Kept == "" {
		l.Kept = "pods that are not terminating yet"
	}
	c.lost = l.Kept == ""
	p.decision.Lost = append(p.decision.Lost, l)
	return c.lost
}

// keepsLost says what keeps a lost node even once its time is over, empty for nothing, and
// whether pods are on it that are not terminating. Those are to find another place.
func (p *planner) keepsLost(c *candidate) (running bool, why string) {
	if c.held {
		return false, "the node holds itself"
	}
	silent := kube.ReadyStatus(c.node.Node()) == corev1.ConditionUnknown
	judge := *p.rules
	judge.MaxGrace = 0 // nothing has to end there
	for _, pod := range c.node.Residents {
		if kube.Terminating(pod.Pod) {
			continue
		}
		switch o, _, why := judge.Judge(pod.Pod); {
		case o == rules.Ignore || o == rules.Evict:
			continue
		case !silent:
			return true, fmt.Sprintf("pod %s runs there, and the kubelet still speaks", cluster.Key(pod.Pod))
		case o == rules.Block:
			return true, fmt.Sprintf("pod %s %s", cluster.Key(pod.Pod), why)
		case o == rules.Move:
			pod.Class = p.s.WithVolumes(pod)
			if !placeable(pod.Class) {
				return true, fmt.Sprintf("pod %s cannot be simulated", cluster.Key(pod.Pod))
			}
			c.toMove = append(c.toMove, pod)
		}
		running = true
	}
	return running, ""
}

func claims(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.PersistentVolumeClaim != nil || v.Ephemeral != nil {
			return true
		}
	}
	return false
}

// setLostWait finds out when the node may go, and reports whether it has been lost for
// long enough: one that was not needed before that has waited already.
func (p *planner) setLostWait(c *candidate) (over bool) {
	delay := p.o.UnreadyTime
	if o := c.group.ScaleDown.UnreadyTime; o != nil {
		delay = *o
	}
	c.unneeded = p.unneededSince(c.node)
	if cond := kube.Condition(c.node.Node(), corev1.NodeReady); cond != nil {
		c.since = cond.LastTransitionTime.Time
	}
	over = !c.since.IsZero() && p.now.Sub(c.since) >= delay
	c.waitByWord(p.now, delay, max(delay, p.unneededTime(c)))
	return over
}

// decideLost decides about a node that is lost. Budgets are not asked: its pods are down
// already. At its group's minimum it is replaced, for it is no capacity; else its pods
// have to fit elsewhere.
func (p *planner) decideLost(c *candidate) {
	if c.group.room > 0 && !p.homesOfLost(c) {
		return
	}
	p.decision.Unneeded[c.node.Name()] = c.unneeded
	switch {
	case c.wait != "":
		p.waitingUntil(c)
		return
	case p.brake != "":
		p.waiting(c, TooManyUnready, p.brake)
		return
	case p.removing >= p.o.MaxParallel:
		p.waiting(c, MaxParallelReached, fmt.Sprintf("%d nodes are being removed", p.removing))
		return
	}
	p.removing++
	if c.group.room <= 0 {
		p.decision.Replace = append(p.decision.Replace, p.removal(c))
		return
	}
	c.group.room--
	c.group.surplus = max(0, c.group.surplus-1)
	p.chosen = append(p.chosen, c)
}

// homesOfLost finds places for the pods of a lost node.
func (p *planner) homesOfLost(c *candidate) bool {
	p.l.Fork()
	p.l.Remove(c.at)
	homes, stuck := p.moves.move(c.toMove)
	if stuck != nil {
		p.l.Revert()
		p.needed(c.node, NoPlaceToMovePods, fmt.Sprintf("pod %s would find no place on another node", cluster.Key(stuck.Pod)))
		return false
	}
	p.l.Commit()
	for i, n := range homes {
		if p.neededBy[n] == nil {
			p.neededBy[n] = &c.toMove[i]
		}
	}
	return true
}
