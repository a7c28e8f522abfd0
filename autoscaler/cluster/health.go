package cluster

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// The share of broken nodes from which on a few accidents explain them no longer: more
// than UnreadyCount, and more than UnreadyPercent of all.
// Source: Cluster Autoscaler, --ok-total-unready-count, --max-total-unready-percentage.
const (
	UnreadyCount   = 3
	UnreadyPercent = 45
)

// TooManyUnready reports whether that many broken ones of total have one cause, such as
// the network or the API server's own trouble: the machines may well run.
func TooManyUnready(unready, total int) bool {
	return unready > UnreadyCount && 100*unready > UnreadyPercent*total
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
	if TooManyUnready(all.lost, all.total) {
		return fmt.Sprintf("%d of %d nodes are not Ready: that has one cause, and none is removed for it", all.lost, all.total)
	}
	for _, zone := range slices.Sorted(maps.Keys(zones)) {
		if z := zones[zone]; TooManyUnready(z.lost, z.total) {
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
