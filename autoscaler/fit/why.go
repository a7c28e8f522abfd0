package fit

import (
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// Why tells why one more pod of the batch does not fit on the node now, nil when
// it does. The words are those of the scheduler's plugins where they are not more
// exact.
func (l *Ledger) Why(b *Batch, n int32) *Reason {
	nd := &l.nodes[n]
	switch {
	case nd.gone:
		return &Reason{Message: "the node is to be removed"}
	case nd.state.Unusable != "":
		return &Reason{Message: nd.state.Unusable}
	}
	if r := l.static.why(b.k.need, nd.kind); r != nil {
		return r
	}
	if short := l.shortages(b.k, n); len(short) > 0 {
		return &Reason{Plugin: names.NodeResourcesFit, Shortages: short}
	}
	if conflict(b.k.ports, nd.ports) {
		return &Reason{Plugin: names.NodePorts, Message: "node(s) didn't have free ports for the requested pod ports"}
	}
	return l.whyTerms(b.k, n)
}

func (l *Ledger) shortages(k *class, n int32) []Shortage {
	var out []Shortage
	free, whole := l.Free(n), l.Capacity(n)
	for d := range k.req {
		if q := l.asks(k, n, d); q > 0 && q > free[d] {
			out = append(out, Shortage{Resource: l.dims[d], Asked: q, Used: whole[d] - free[d], Capacity: whole[d], Volumes: d >= l.drivers})
		}
	}
	return out
}

func (l *Ledger) whyTerms(k *class, n int32) *Reason {
	at := int(n) * len(l.keys)
	for _, t := range k.far {
		if d := l.place[at+t.key]; d >= 0 && t.at(d) > 0 {
			return &Reason{Plugin: names.InterPodAffinity, Message: "node(s) didn't match pod anti-affinity rules"}
		}
	}
	for _, t := range k.shunned {
		if d := l.place[at+t.key]; d >= 0 && t.at(d) > 0 {
			return &Reason{Plugin: names.InterPodAffinity, Message: "node(s) didn't satisfy existing pods anti-affinity rules"}
		}
	}
	if len(k.near) > 0 && l.checkNear(k, at) != fits {
		return &Reason{Plugin: names.InterPodAffinity, Message: "node(s) didn't match pod affinity rules"}
	}
	for _, s := range k.spreads {
		d := l.place[at+s.counts.key]
		if d < 0 {
			return &Reason{Plugin: names.PodTopologySpread, Message: "node(s) didn't match pod topology spread constraints (missing required label)"}
		}
		if !s.allows(d) {
			return &Reason{Plugin: names.PodTopologySpread, Message: "node(s) didn't match pod topology spread constraints"}
		}
	}
	return nil
}
