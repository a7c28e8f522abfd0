package scaleup

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

func (p *planner) wait(pod cluster.Pod, reason string) {
	p.decision.Waiting = append(p.decision.Waiting, PodReason{Pod: cluster.Key(pod.Pod), UID: pod.UID, Reason: reason})
}

func (p *planner) unhelped(pod cluster.Pod, reason string, groups []GroupReason) {
	p.decision.Unhelped = append(p.decision.Unhelped,
		PodReason{Pod: cluster.Key(pod.Pod), UID: pod.UID, Reason: reason, Groups: groups})
}

// report turns the ledger into the decision.
func (p *planner) report(nominated []int32) {
	names := p.nodeNames()
	p.assign(nominated, names)
	p.reportIncreases(names)
	p.reportPods(nominated)
	byPod := func(a, b PodReason) int {
		return cmp.Or(cmp.Compare(a.Pod.Namespace, b.Pod.Namespace), cmp.Compare(a.Pod.Name, b.Pod.Name), cmp.Compare(a.UID, b.UID))
	}
	slices.SortFunc(p.decision.Unhelped, byPod)
}

// nodeNames are the names of all nodes, made up for those that the plan adds.
func (p *planner) nodeNames() []string {
	names := make([]string, p.l.Len())
	for n := range names {
		names[n] = p.l.State(int32(n)).Name()
	}
	for i, n := range p.opened {
		st := p.l.State(n)
		names[n] = fmt.Sprintf("planned-%s-%d", st.Group, i+1)
		p.decision.NewNodes = append(p.decision.NewNodes, cluster.NewNode{Name: names[n], Group: st.Group, Zone: st.Zone})
	}
	return names
}

// assign gives the pods of each class the places that the plan has found for the
// class, the first by name the first that was found.
func (p *planner) assign(nominated []int32, names []string) {
	pods := p.pods
	p.decision.Placements = make([]cluster.Placement, 0, len(pods))
	put := func(i, n int32) {
		p.homes[i] = n
		p.decision.Placements = append(p.decision.Placements, cluster.Placement{Pod: pods[i].Pod, Node: names[n]})
	}
	next := make([]int, len(p.queues))
	first := 0
	p.l.Placed(func(pl fit.Placed) {
		if first < len(nominated) {
			put(nominated[first], pl.Node)
			first++
			return
		}
		queue := p.queues[pl.Class.ID]
		for range pl.Count {
			put(queue[next[pl.Class.ID]], pl.Node)
			next[pl.Class.ID]++
		}
	})
}

// reportIncreases makes one increase of the new nodes of each group.
func (p *planner) reportIncreases(names []string) {
	at := map[string]int{}
	for _, g := range p.groups {
		if g.opened == 0 {
			continue
		}
		at[g.Name] = len(p.decision.Increases)
		p.decision.Increases = append(p.decision.Increases, Increase{
			Group: g.Name, From: g.Desired, To: g.Desired + g.opened, Warm: min(g.Warm, g.opened),
		})
	}
	for _, n := range p.opened {
		if st := p.l.State(n); st.Zone != "" {
			inc := &p.decision.Increases[at[st.Group]]
			inc.Zones = append(inc.Zones, st.Zone)
		}
	}
	for i, pod := range p.pods {
		if n := p.homes[i]; n != nowhere && p.l.State(n).Kind == cluster.Planned {
			inc := &p.decision.Increases[at[p.l.State(n).Group]]
			inc.Pods = append(inc.Pods, cluster.Key(pod.Pod))
		}
	}
	spare := map[string]int{}
	for _, group := range p.spare {
		spare[group]++
	}
	for i := range p.decision.Increases {
		inc := &p.decision.Increases[i]
		inc.Reason = fmt.Sprintf("%d more node(s) for %d pending pod(s)", inc.To-inc.From, len(inc.Pods))
		if n := spare[inc.Group]; n > 0 {
			inc.Reason += fmt.Sprintf(", %d of them as headroom", n)
		}
		if g := p.byName[inc.Group]; g.estimated {
			inc.Reason += fmt.Sprintf(", at an estimated $%.3f an hour each: no price of the group is known", g.cost)
		}
	}
}

// reportPods tells how the pods stand that no group is grown for. The answers are
// worked out once for each node and for each class.
func (p *planner) reportPods(nominated []int32) {
	for _, i := range nominated {
		pod := p.pods[i]
		p.wait(pod, "room is being made for it on node "+pod.Status.NominatedNodeName+" (preemption)")
	}
	waiting := map[int32]string{}
	groups := map[int][]GroupReason{}
	said := map[int]string{}
	planned := make([]bool, len(p.homes))
	for _, queue := range p.queues {
		for _, i := range queue {
			planned[i] = true
		}
	}
	for i, pod := range p.s.Pending() {
		n := p.homes[i]
		switch {
		case !planned[i] || n != nowhere && p.l.State(n).Kind == cluster.Planned:
			continue
		case n != nowhere:
			if waiting[n] == "" {
				waiting[n] = waitingReason(p.l.State(n))
			}
			p.wait(pod, waiting[n])
			continue
		case p.holds != nil && p.holds[i].Coming:
			p.wait(pod, p.holds[i].Reason)
			continue
		case p.holds != nil && p.holds[i].Reason != "":
			p.unhelped(pod, p.holds[i].Reason, nil)
			continue
		}
		id := pod.Class.ID
		if said[id] == "" {
			groups[id] = p.groupReasons(pod.Class)
			said[id] = summary(groups[id])
		}
		p.unhelped(pod, said[id], groups[id])
	}
	if len(nominated) > 0 {
		slices.SortFunc(p.decision.Waiting, func(a, b PodReason) int {
			return cmp.Or(cmp.Compare(a.Pod.Namespace, b.Pod.Namespace), cmp.Compare(a.Pod.Name, b.Pod.Name))
		})
	}
}

func waitingReason(node *cluster.NodeState) string {
	switch {
	case node.Kind == cluster.Starting:
		return fmt.Sprintf("fits on node %s, which is starting", node.Name())
	case node.Kind == cluster.Upcoming && node.Instance != nil:
		return fmt.Sprintf("fits on a node of group %s that is on its way (%s)", node.Group, node.Instance.ID)
	case node.Kind == cluster.Upcoming:
		return fmt.Sprintf("fits on a node of group %s that is on its way", node.Group)
	default:
		return "fits on node " + node.Name()
	}
}

// groupReasons gives each group's answer to a class that is left over.
func (p *planner) groupReasons(c *cluster.Class) []GroupReason {
	b := p.l.Batch(c, 1)
	out := make([]GroupReason, 0, len(p.groups))
	for _, g := range p.groups {
		out = append(out, GroupReason{Group: g.Name, Reason: p.groupReason(g, b)})
	}
	return out
}

// groupReason says why the group does not help the pod: first what stands
// against any of its nodes, then what keeps it from growing.
func (p *planner) groupReason(g *group, b *fit.Batch) string {
	if g.Template == nil {
		return templateReason(g.Group)
	}
	var first *fit.Reason
	for _, o := range g.options {
		p.l.Fork()
		reason := p.l.Why(b, p.l.Open(g.Name, o.zone))
		p.l.Revert()
		if reason == nil {
			return cmp.Or(p.refuses(g), "no node in reach of this plan takes it")
		}
		first = cmp.Or(first, reason)
	}
	if why := p.closedZone(g, b); why != "" {
		return why
	}
	return first.String()
}

// closedZone says why a zone of the group is closed that would take the pod; empty when
// none would.
func (p *planner) closedZone(g *group, b *fit.Batch) string {
	for _, zone := range slices.Sorted(maps.Keys(g.ClosedZones)) {
		p.l.Fork()
		reason := p.l.Why(b, p.l.Open(g.Name, zone))
		p.l.Revert()
		if reason == nil {
			return "zone " + zone + ": " + g.ClosedZones[zone]
		}
	}
	return ""
}

func templateReason(g *cluster.Group) string {
	if g.TemplateError != nil {
		return "a new node is not known: " + g.TemplateError.Error()
	}
	return "a new node is not known: no template"
}

func backoffReason(g *cluster.Group) string {
	text := "backed off until " + g.BackoffUntil.UTC().Format(time.RFC3339)
	if g.BackoffReason != "" {
		text += ": " + g.BackoffReason
	}
	return text
}

func expendableReason(pod *corev1.Pod) string {
	return fmt.Sprintf("priority %d is below the cut-off %d: it waits for room that is left over",
		corev1helpers.PodPriority(pod), cluster.ExpendablePriority)
}
