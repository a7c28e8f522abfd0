package cluster

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
)

// Fork starts a trial: the changes made from here on are undone by Revert or
// kept by Commit. Forks nest.
func (s *Snapshot) Fork() { s.marks = append(s.marks, len(s.undo)) }

// Revert undoes everything since the last open Fork and closes it. Without an
// open fork it does nothing.
func (s *Snapshot) Revert() {
	n := len(s.marks)
	if n == 0 {
		return
	}
	mark := s.marks[n-1]
	s.marks = s.marks[:n-1]
	for i := len(s.undo) - 1; i >= mark; i-- {
		s.undo[i]()
		s.undo[i] = nil
	}
	s.undo = s.undo[:mark]
}

// Commit closes the last open Fork and keeps its changes, as part of the fork
// around it if there is one.
func (s *Snapshot) Commit() {
	if n := len(s.marks); n > 0 {
		s.marks = s.marks[:n-1]
	}
	if len(s.marks) == 0 {
		s.undo = nil
	}
}

func (s *Snapshot) log(undo func()) {
	if len(s.marks) > 0 {
		s.undo = append(s.undo, undo)
	}
}

// AddPod puts a pod on a node. The pod must carry a uid; whether it fits is not
// asked here (package fit does).
func (s *Snapshot) AddPod(pod *corev1.Pod, node string) error {
	st := s.nodes[node]
	if st == nil {
		return fmt.Errorf("add pod %s: no node %q", Key(pod), node)
	}
	st.Info.AddPod(pod)
	s.log(func() { _ = st.Info.RemovePod(klog.Logger{}, pod) })
	return nil
}

// Nominate puts a pod on the node where the scheduler is making room for it
// (status.nominatedNodeName, preemption); pods of lower priority that are ending
// there count as gone. It reports whether there is such a node that pods may be
// planned on.
func (s *Snapshot) Nominate(pod *corev1.Pod) bool {
	st := s.nodes[pod.Status.NominatedNodeName]
	if st == nil || st.Unusable != "" {
		return false
	}
	for _, p := range st.Pods() {
		victim := p.DeletionTimestamp != nil && corev1helpers.PodPriority(p) < corev1helpers.PodPriority(pod)
		if victim && st.Info.RemovePod(klog.Logger{}, p) == nil {
			s.log(func() { st.Info.AddPod(p) })
		}
	}
	return s.AddPod(pod, st.Name()) == nil
}

// RemoveNode takes a node with all its pods out of the snapshot.
func (s *Snapshot) RemoveNode(name string) error {
	st := s.nodes[name]
	if st == nil {
		return fmt.Errorf("remove node: no node %q", name)
	}
	order, infos := s.order, s.infos
	counted := st.Group != "" && (st.Instance == nil || !st.Instance.Leaving() && !st.Instance.OutOfService())
	s.drop(st)
	if counted {
		s.zones[st.Group][st.Zone]--
	}
	s.log(func() {
		s.nodes[name], s.order, s.infos = st, order, infos
		if counted {
			s.zones[st.Group][st.Zone]++
		}
	})
	return nil
}

// Forked reports how many forks are open. Planners leave none behind.
func (s *Snapshot) Forked() int { return len(s.marks) }

// pods of a node in a stable order: the scheduler's form keeps them unordered.
func sortedPods(st *NodeState) []*corev1.Pod {
	pods := make([]*corev1.Pod, 0, len(st.Info.Pods))
	for _, pi := range st.Info.GetPods() {
		pods = append(pods, pi.GetPod())
	}
	slices.SortFunc(pods, ComparePods)
	return pods
}

// Pods are the pods on the node by namespace and name; those that have ended
// are not among them.
func (n *NodeState) Pods() []*corev1.Pod { return sortedPods(n) }
