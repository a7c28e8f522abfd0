package hooks

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/kube"
)

// Node is what matters here of a Node.
type Node struct {
	// Name and UID of the Node.
	Name, UID string
	// Bound reports whether the Node is the instance that it claims, by the binding;
	// Standing is why, or why not.
	Bound    bool
	Standing string
	// Ready is its condition; ReadyAt when the kubelet last said so, by the
	// node's clock, in whole seconds.
	Ready   bool
	ReadyAt time.Time
	// Tainted says that it carries the taint of a node that is not ready.
	Tainted bool
	// Marked says that it is about to go, by our word or the autoscaler's.
	Marked bool
	// DrainingSince is when we marked it; zero if we did not.
	DrainingSince time.Time
	// Pods that have to leave before the node goes; read for Draining only.
	Pods []*corev1.Pod
}

func nodeOf(n *corev1.Node) Node {
	out := Node{
		Name: n.Name, UID: string(n.UID),
		Ready: kube.KubeletReady(n), Tainted: kube.HasTaint(n, corev1.TaintNodeNotReady), Marked: kube.Marked(n),
	}
	if c := kube.Condition(n, corev1.NodeReady); c != nil {
		out.ReadyAt = c.LastHeartbeatTime.Time
	}
	if s, err := strconv.ParseInt(n.Annotations[kube.DrainingAnnotation], 10, 64); err == nil {
		out.DrainingSince = time.Unix(s, 0)
	}
	return out
}

// interesting says that a Node changed in a way that a hook may wait for: it
// became Ready, or its agent says that it is drained, which is a reason to look
// and no proof.
func interesting(before, now *corev1.Node) bool {
	became := func(is func(*corev1.Node) bool) bool { return is(now) && (before == nil || !is(before)) }
	return became(kube.Schedulable) || became(kube.SaysDrained)
}

// byInstance groups Nodes by the instance that they claim.
func byInstance(all []*corev1.Node, standings map[string]binding.Verdict) map[string][]Node {
	out := map[string][]Node{}
	for _, n := range all {
		if v := standings[n.Name]; v.InstanceID != "" {
			out[v.InstanceID] = append(out[v.InstanceID], standing(nodeOf(n), v))
		}
	}
	return out
}

// standing is the Node with how it stands.
func standing(n Node, v binding.Verdict) Node {
	n.Bound, n.Standing = v.Counts(), v.Message
	return n
}
