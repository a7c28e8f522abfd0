package fit

import (
	"slices"

	"github.com/joinery/joinery/internal/kube"
)

// Drain takes a node with its pods out as Remove does, but leaves what the scheduler sees
// of it until its Node is gone: an empty domain for topology spread. A pod that is spread
// over hosts is refused everywhere else because of it, so it has no other place before.
// Only a constraint that honors taints leaves a Node out that is being drained. Pods that
// go with their node count on.
func (l *Ledger) Drain(n int32) {
	nd := &l.nodes[n]
	l.countOn(n, -1)
	l.removeFromDomains(n)
	l.log = append(l.log, change{what: drained, node: n, count: nd.kind})
	nd.gone, nd.kind = true, l.drainedKind(nd)
	l.addToDomains(n)
	l.countStaying(n, 1)
}

func (l *Ledger) undrain(n, kind int32) {
	l.countStaying(n, -1)
	l.removeFromDomains(n)
	l.nodes[n].kind = kind
	l.restore(n)
}

// Depart has a node that was drained be gone altogether.
func (l *Ledger) Depart(n int32) {
	l.countStaying(n, -1)
	l.removeFromDomains(n)
	l.log = append(l.log, change{what: departed, node: n})
}

func (l *Ledger) reappear(n int32) {
	l.addToDomains(n)
	l.countStaying(n, 1)
}

// drainedKind is the kind of the node once it is marked. It differs only for constraints
// that look at taints.
func (l *Ledger) drainedKind(nd *node) int32 {
	honored := slices.ContainsFunc(l.domains, func(d *domains) bool { return d.honorTaints })
	if !honored || kube.Marked(nd.state.Node()) {
		return nd.kind
	}
	return l.static.kindOf(nd.state.Draining())
}

// countStaying counts the pods that go with their node in, or out with n -1.
func (l *Ledger) countStaying(node, n int32) {
	residents := l.nodes[node].state.Residents
	for i := range residents {
		// Few pods count anywhere, which their class tells without a look at them.
		bumps := l.bumpsOf(residents[i].Class)
		if len(bumps) == 0 || kube.NeedsEviction(residents[i].Pod, l.s.Now()) {
			continue
		}
		l.count(bumps, node, n, kube.Terminating(residents[i].Pod))
	}
}
