// Package nodes keeps the Node objects true: it removes those whose EC2 instance is
// gone or went back into a warm pool, and those that EC2 proves to be impostors, and
// raises the alarm about every impostor. Names can be used again then, and nothing
// waits for a kubelet that does not answer. Plan decides and does no I/O; Janitor
// executes. Where a cloud controller manager does the same work, the two do not
// fight: a deletion bears the UID that was judged, and that the Node is gone already
// is fine.
package nodes

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/kube"
)

// Node is what Plan looks at.
type Node struct {
	// Name and UID of the Node.
	Name, UID string
	// Verdict is how it stands to the instances of EC2.
	Verdict binding.Verdict
	// ControlPlane, Reported and Leaving are those of package kube.
	ControlPlane, Reported, Leaving bool
	// Ready is the kubelet's word.
	Ready bool
}

// Describe returns the Nodes as Plan looks at them, sorted by name.
func Describe(all []*corev1.Node, verdicts map[string]binding.Verdict) []Node {
	out := make([]Node, 0, len(all))
	for _, n := range all {
		out = append(out, Node{
			Name: n.Name, UID: string(n.UID), Verdict: verdicts[n.Name], ControlPlane: kube.ControlPlane(n),
			Reported: kube.Reported(n), Leaving: kube.Leaving(n), Ready: kube.KubeletReady(n),
		})
	}
	slices.SortFunc(out, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// suspect reports whether the Node is worth a question to EC2 right now: its kubelet
// does not answer, or it is being removed.
func (n Node) suspect() bool { return !n.ControlPlane && (!n.Ready || n.Leaving) }

// Stopped returns the instances of suspects that are stopped or about to be. Whether
// their Nodes go is for their lifecycle states to say.
func Stopped(nodes []Node) []string {
	var ids []string
	for _, n := range nodes {
		if n.suspect() && n.Verdict.Reason == binding.InstanceStopped {
			ids = append(ids, n.Verdict.InstanceID)
		}
	}
	return ids
}

// Deletion is a Node to delete, and why.
type Deletion struct {
	Node
	// Lie reports whether the Node is an impostor, and not merely an orphan.
	Lie bool
	// Why is one clause that ends the sentence "Node deleted: …".
	Why string
}

// Facts are what was found out besides the verdicts.
type Facts struct {
	// Lifecycles maps those of Stopped that are in a group to their lifecycle states.
	Lifecycles map[string]fleet.Lifecycle
	// Cluster whose instances are ours.
	Cluster string
	// Settle is how long an answer has to stay the same before a Node goes for what
	// EC2 does not show, or for a lie: a single answer may come from a replica that
	// is behind.
	Settle time.Duration
}

// Since maps the UID of a Node to when it was first seen in the standing that it has.
type Since map[string]Sighting

// Sighting is how a Node stands, and since when.
type Sighting struct {
	Standing binding.Standing
	Reason   binding.Reason
	Proven   bool
	At       time.Time
}

// Plan decides which Nodes go, and returns since when each stands as it does, for the
// next time. A Node goes if it is none of a control-plane node and
//   - its instance is terminated; or is shutting down, and the kubelet is silent or the
//     removal has begun;
//   - its instance is stopped in its group's warm pool, and the kubelet is silent: it
//     makes its Node again when it is wanted. One that an operator stopped stays;
//   - EC2 does not know its instance for Settle, the kubelet is silent, and our agent
//     reported on it: so it is ours, though its tags cannot be seen any more;
//   - EC2 proves it to be an impostor, for Settle.
func Plan(nodes []Node, f Facts, before Since, now time.Time) ([]Deletion, Since) {
	var out []Deletion
	since := make(Since, len(nodes))
	for _, n := range nodes {
		s, seen := before[n.UID]
		if !seen || s.Standing != n.Verdict.Standing || s.Reason != n.Verdict.Reason || s.Proven != n.Verdict.Proven {
			s = Sighting{n.Verdict.Standing, n.Verdict.Reason, n.Verdict.Proven, now}
		}
		since[n.UID] = s
		if n.ControlPlane {
			continue
		}
		if why, lie := condemn(n, f, now.Sub(s.At) >= f.Settle); why != "" {
			out = append(out, Deletion{n, lie, why})
		}
	}
	return out, since
}

// condemn returns why a Node goes; empty if it stays.
func condemn(n Node, f Facts, settled bool) (why string, lie bool) {
	v := n.Verdict
	switch v.Reason {
	case binding.InstanceGone:
		if n.ours(f) && (v.Instance.State == "terminated" || n.suspect()) {
			return v.Message, false
		}
	case binding.InstanceStopped:
		if n.ours(f) && n.suspect() && f.Lifecycles[v.InstanceID].Pooled() {
			return v.Message + " in the warm pool of its group", false
		}
	case binding.NoSuchInstance:
		if n.Reported && n.suspect() && settled {
			return v.Message, false
		}
	}
	if v.Standing == binding.Impostor && v.Proven && settled {
		return "it is not what it claims to be: " + v.Message, true
	}
	return "", false
}

// ours reports whether the Node is of this cluster's own instances. That our agent
// reported on it is the node's own claim, and can only cost it its own Node.
func (n Node) ours(f Facts) bool { return n.Reported || n.Verdict.Instance.Cluster == f.Cluster }
