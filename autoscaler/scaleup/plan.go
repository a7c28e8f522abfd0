package scaleup

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// Plan decides which groups to grow for the snapshot's pending pods. It leaves
// the snapshot as it was.
func Plan(s *cluster.Snapshot, now time.Time, o Options) Decision {
	checker, err := fit.New(s)
	if err != nil {
		return Decision{Err: err}
	}
	defer checker.Close()
	s.Fork()
	defer s.Revert()
	p := &planner{s: s, now: now, o: o, checker: checker, home: map[*corev1.Pod]*cluster.NodeState{}}
	return p.plan()
}

// planner is one run of Plan.
type planner struct {
	s       *cluster.Snapshot
	now     time.Time
	o       Options
	checker *fit.Checker
	// present packs onto the nodes that are there or on their way.
	present *fit.Packer
	// home: pod -> the node that the plan has found for it.
	home map[*corev1.Pod]*cluster.NodeState

	decision Decision
}

func (p *planner) plan() Decision {
	pods := p.setAside(p.s.Pending())
	fit.SortPods(pods, p.s.Groups())
	p.present = fit.NewPacker(p.checker, usable(p.s.Nodes()))
	rest := p.pack(p.present, pods, nil)
	opened, rest := p.grow(rest)
	p.reportWaiting(pods)
	p.reportIncreases(opened, pods)
	p.reportUnhelped(rest)
	p.sortReports()
	return p.decision
}

// setAside reports the pods that are not to be planned for, and returns the
// others.
func (p *planner) setAside(pending []*corev1.Pod) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, pod := range pending {
		unsupported := fit.Unsupported(pod)
		switch {
		case p.s.Nominate(pod):
			// The room is its own: no other pod may be planned into it.
			p.wait(pod, "room is being made for it on node "+pod.Status.NominatedNodeName+" (preemption)")
		case cluster.Expendable(pod):
			p.unhelped(pod, expendableReason(pod), nil)
		case unsupported != nil:
			p.unhelped(pod, unsupported.String(), nil)
		default:
			pods = append(pods, pod)
		}
	}
	return pods
}

// pack places the pods and returns those that found no node, in order. With open
// set it may ask for new nodes.
func (p *planner) pack(packer *fit.Packer, pods []*corev1.Pod, open func(*fit.Packer, *corev1.Pod) *cluster.NodeState) []*corev1.Pod {
	return packer.PlaceEach(pods, func(pod *corev1.Pod) *cluster.NodeState {
		node := packer.Place(pod)
		if node == nil && open != nil {
			node = open(packer, pod)
		}
		if node != nil {
			p.home[pod] = node
		}
		return node
	})
}

func usable(nodes []*cluster.NodeState) []*cluster.NodeState {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *cluster.NodeState) bool { return n.Unusable != "" })
}
