package kube

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// agentNotReady is the name, behind the domain, of the taints that node plugins of
// storage and network remove once they run. Cilium's and all CSI drivers of AWS have it,
// each with its own domain.
const agentNotReady = "agent-not-ready"

// startupTaints are the beginnings of further keys of start-up taints. They are removed by
//   - the node readiness controller (kubernetes-sigs/node-readiness-controller);
//   - Karpenter, once it has registered the node;
//   - Istio's CNI repair controller;
//   - Nidhogg, once chosen DaemonSets run.
var startupTaints = []string{
	"readiness.k8s.io/",
	"karpenter.sh/unregistered",
	"cni.istio.io/not-ready",
	"nidhogg.uswitch.com/",
}

// StartupTaint reports whether the taint is on a node that is not ready yet and is
// removed without a plan's doing:
//   - not-ready, unreachable and network-unavailable, which the node lifecycle
//     controller and the network plugin remove;
//   - UninitializedTaint, which the cloud provider removes;
//   - any whose name is agentNotReady, and those of startupTaints;
//   - one of StartupTaintPrefix or IgnoredTaintPrefix.
func StartupTaint(t corev1.Taint) bool {
	switch t.Key {
	case corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeNetworkUnavailable, UninitializedTaint:
		return true
	}
	if _, name, ok := strings.Cut(t.Key, "/"); ok && name == agentNotReady {
		return true
	}
	return begins(t.Key, startupTaints) || strings.HasPrefix(t.Key, StartupTaintPrefix) || strings.HasPrefix(t.Key, IgnoredTaintPrefix)
}

// TaintRules are an operator's additions to the taints that are not a node's own for
// good. Each is the beginning of taint keys; a trailing * means the same. The zero value
// adds nothing.
type TaintRules struct {
	// Startup taints are on a node that is not ready yet.
	Startup []string
	// Status taints take a running node out of use for a while.
	Status []string
}

// StartupTaint reports whether the taint is removed when its node has started:
//   - StartupTaint, or
//   - its key begins with one of r.Startup.
func (r *TaintRules) StartupTaint(t corev1.Taint) bool {
	return StartupTaint(t) || begins(t.Key, r.Startup)
}

// Passing reports whether a new node will not keep the taint, although its kubelet may
// register with it:
//   - r.StartupTaint, or
//   - it is of StatusTaintPrefix, or its key begins with one of r.Status.
func (r *TaintRules) Passing(t corev1.Taint) bool {
	return r.StartupTaint(t) || strings.HasPrefix(t.Key, StatusTaintPrefix) || begins(t.Key, r.Status)
}

func begins(key string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, strings.TrimSuffix(p, "*")) })
}
