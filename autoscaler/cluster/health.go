package cluster

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// UnreadyLimits are how many broken nodes a few accidents explain: up to Count of them,
// and up to Percent of all. They count for the cluster, for each zone and for each group.
// Source: Cluster Autoscaler, --ok-total-unready-count, --max-total-unready-percentage.
type UnreadyLimits struct {
	Count   int
	Percent float64
}

// DefaultUnready are the limits unless Input says otherwise: Cluster Autoscaler's.
var DefaultUnready = UnreadyLimits{Count: 3, Percent: 45}

// Exceeded reports whether that many broken ones of total have one cause, such as the
// network or a failure of the API server: the machines may well run.
func (l UnreadyLimits) Exceeded(unready, total int) bool {
	return unready > l.Count && 100*float64(unready) > l.Percent*float64(total)
}

// UnreadyLimits returns how many broken nodes a few accidents explain.
func (s *Snapshot) UnreadyLimits() UnreadyLimits {
	if s.in.Unready != nil {
		return *s.in.Unready
	}
	return DefaultUnready
}

// Lost reports whether the node had its time to become Ready and is not:
//   - its kubelet fell silent, or says that it is not Ready;
//   - it is bound to an instance or adopted, and nobody removes it: what is leaving, or
//     has no instance by EC2's word, is no riddle.
func (n *NodeState) Lost() bool {
	return n.Kind == Joined && n.Excluded == "" && n.node.DeletionTimestamp == nil && !kube.Marked(n.node) &&
		(n.Instance == nil || !n.Instance.Leaving()) && kube.ReadyStatus(n.node) != corev1.ConditionTrue
}

// Usable reports whether pods can run on the node: its kubelet is Ready and its instance
// is in service. A node that is about to be removed still is.
func (n *NodeState) Usable() bool {
	return (n.Kind == Joined || n.Kind == Starting) && n.Excluded == "" &&
		(n.Instance == nil || !n.Instance.Leaving() && !n.Instance.OutOfService()) && kube.KubeletReady(n.node)
}

// Brake says why no node is to be removed or replaced for being silent or idle, because
// too many of the cluster, or of a zone, are silent at once; empty when they may be. What
// EC2 proves to be gone goes all the same: that is no guess.
func (s *Snapshot) Brake() string {
	limits := s.UnreadyLimits()
	var all tally
	zones := map[string]tally{}
	for _, n := range s.order {
		if n.Kind != Joined && n.Kind != Starting || n.Excluded != "" {
			continue
		}
		all = all.with(n)
		if n.Zone != "" {
			zones[n.Zone] = zones[n.Zone].with(n)
		}
	}
	if limits.Exceeded(all.lost, all.total) {
		return fmt.Sprintf("%d of %d nodes are not Ready: that has one cause, and none is removed for it", all.lost, all.total)
	}
	for _, zone := range slices.Sorted(maps.Keys(zones)) {
		if z := zones[zone]; limits.Exceeded(z.lost, z.total) {
			return fmt.Sprintf("%d of %d nodes in zone %s are not Ready: that has one cause, and none is removed for it", z.lost, z.total, zone)
		}
	}
	return ""
}

// tally counts nodes.
type tally struct{ lost, total int }

func (t tally) with(n *NodeState) tally {
	t.total++
	if n.Lost() {
		t.lost++
	}
	return t
}
