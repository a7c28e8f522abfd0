package scaleup

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

func (p *planner) wait(pod *corev1.Pod, reason string) {
	p.decision.Waiting = append(p.decision.Waiting, PodReason{Pod: cluster.Key(pod), UID: pod.UID, Reason: reason})
}

func (p *planner) unhelped(pod *corev1.Pod, reason string, groups []GroupReason) {
	p.decision.Unhelped = append(p.decision.Unhelped,
		PodReason{Pod: cluster.Key(pod), UID: pod.UID, Reason: reason, Groups: groups})
}

// reportWaiting reports the pods whose node is there or on its way.
func (p *planner) reportWaiting(pods []*corev1.Pod) {
	for _, pod := range pods {
		node := p.home[pod]
		if node == nil || node.Kind == cluster.Planned {
			continue
		}
		p.wait(pod, waitingReason(node))
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

// reportIncreases turns the opened nodes into one increase for each group.
func (p *planner) reportIncreases(opened []*cluster.NodeState, pods []*corev1.Pod) {
	byGroup := map[string]*Increase{}
	for _, node := range opened {
		inc := byGroup[node.Group]
		if inc == nil {
			desired := p.s.Group(node.Group).Desired
			inc = &Increase{Group: node.Group, From: desired, To: desired}
			byGroup[node.Group] = inc
		}
		inc.To++
		if node.Zone != "" {
			inc.Zones = append(inc.Zones, node.Zone)
		}
	}
	for _, pod := range pods {
		if node := p.home[pod]; node != nil && node.Kind == cluster.Planned {
			byGroup[node.Group].Pods = append(byGroup[node.Group].Pods, cluster.Key(pod))
		}
	}
	for _, inc := range byGroup {
		slices.SortFunc(inc.Pods, compareKeys)
		inc.Reason = fmt.Sprintf("%d more node(s) for %d pending pod(s)", inc.To-inc.From, len(inc.Pods))
		p.decision.Increases = append(p.decision.Increases, *inc)
	}
}

// reportUnhelped gives each pod the answer of each group. The answers are worked
// out once for each class of pods.
func (p *planner) reportUnhelped(rest []*corev1.Pod) {
	var open []string
	for _, n := range p.s.Nodes() {
		if n.Kind == cluster.Planned {
			open = append(open, n.Group)
		}
	}
	known := map[string][]GroupReason{}
	for _, pod := range rest {
		key := p.present.Class(pod).Key
		groups, ok := known[key]
		if !ok {
			for i := range p.s.Groups() {
				g := &p.s.Groups()[i]
				groups = append(groups, GroupReason{Group: g.Name, Reason: p.groupReason(g, pod, open)})
			}
			known[key] = groups
		}
		p.unhelped(pod, summary(groups), groups)
	}
}

// groupReason says why the group does not help the pod: first what stands
// against any of its nodes, then what keeps it from growing.
func (p *planner) groupReason(g *cluster.Group, pod *corev1.Pod, open []string) string {
	if g.Template == nil {
		return templateReason(g)
	}
	zones := g.Zones
	if len(zones) == 0 {
		zones = []string{""}
	}
	var first *fit.Reason
	for _, zone := range zones {
		p.s.Fork()
		reason := p.checker.Probe(pod).On(p.s.AddPlannedIn(g.Name, "planned-"+g.Name, zone))
		p.s.Revert()
		if reason == nil {
			return cmp.Or(p.refuses(g, open), "no node in reach of this plan takes it")
		}
		first = cmp.Or(first, reason)
	}
	return first.String()
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

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func (p *planner) sortReports() {
	slices.SortFunc(p.decision.Increases, func(a, b Increase) int { return cmp.Compare(a.Group, b.Group) })
	byPod := func(a, b PodReason) int { return cmp.Or(compareKeys(a.Pod, b.Pod), cmp.Compare(a.UID, b.UID)) }
	slices.SortFunc(p.decision.Waiting, byPod)
	slices.SortFunc(p.decision.Unhelped, byPod)
}
