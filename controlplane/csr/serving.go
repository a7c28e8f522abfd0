package csr

import (
	"slices"
	"strings"
	"time"

	"github.com/joinery/joinery/controlplane/instances"
)

// decideServing judges a kubelet's request for a serving certificate. Kubernetes
// leaves these to the cluster's operator (kubernetes/kubernetes#73356): it cannot
// know which names and addresses are the node's, and EC2 does.
func decideServing(r Request, f Facts, now time.Time, p Policy) *Verdict {
	if f.Node == nil {
		return late(r, now, p, NoInstance, "there is no node %s", r.Node)
	}
	i, v := behind(r, f, now, p)
	if v != nil {
		return v
	}
	if foreign := foreignNames(r, i); len(foreign) > 0 {
		// An address that was just attached may not show yet.
		v := late(r, now, p, ForeignNames, "%q: expected names and addresses of instance %s only", foreign, i.ID)
		v.Instance = i
		return v
	}
	return approve(ServesItself, i, "all %d names and addresses are of instance %s", len(r.DNSNames)+len(r.IPs), i.ID)
}

// foreignNames are what is asked for and not the instance's, the first few.
func foreignNames(r Request, i instances.Instance) []string {
	names := []string{r.Node, i.PrivateDNSName, i.PublicDNSName}
	var foreign []string
	for _, n := range r.DNSNames {
		if n == "" || !slices.ContainsFunc(names, func(own string) bool { return strings.EqualFold(own, n) }) {
			foreign = append(foreign, clip(n))
		}
	}
	for _, a := range r.IPs {
		if !slices.Contains(i.Addresses, a) {
			foreign = append(foreign, a.String())
		}
	}
	return foreign[:min(len(foreign), 5)]
}

// clip bounds what of outside input is repeated in messages.
func clip(s string) string {
	const most = 128
	s = strings.ToValidUTF8(s, "?")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
