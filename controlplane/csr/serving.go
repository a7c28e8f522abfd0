package csr

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/quote"
)

// decideServing judges a kubelet's request for a serving certificate. Kubernetes
// leaves these to the cluster's operator (kubernetes/kubernetes#73356): it cannot
// know which names and addresses are the node's, and EC2 does.
func decideServing(r Request, f Facts, now time.Time, p Policy) *Verdict {
	if f.Node == nil {
		return late(r, now, p, NoInstance, "there is no node %s", quote.Name(r.Node))
	}
	i, v := holder(r, f, now, p)
	if v != nil {
		return v
	}
	whose := "instance " + i.ID
	if i.ID == "" {
		whose = "the node as it was adopted"
	}
	names, addresses := servable(r, f, i)
	if foreign := foreignNames(r, names, addresses); len(foreign) > 0 {
		// An address that was just attached may not show yet.
		v := late(r, now, p, ForeignNames, "%s: expected names and addresses of %s only: %s", quote.List(foreign), whose, quote.List(texts(names, addresses)))
		v.Instance = i
		return v
	}
	return approve(ServesItself, i, "all %d names and addresses are of %s", len(r.DNSNames)+len(r.IPs), whose)
}

// servable are the names and addresses that a Node may serve under: those of its
// instance that stay with it (fleet.Instance.PrimaryAddresses), as cloud-provider-aws
// reports them. What an operator recorded stands for an adopted Node that EC2 does
// not show.
func servable(r Request, f Facts, i fleet.Instance) (names []string, addresses []netip.Addr) {
	names = []string{r.Node, i.PrivateDNSName, i.PublicDNSName}
	if f.Node.Record == nil || f.Node.Binding.Instance != nil {
		return names, i.PrimaryAddresses
	}
	for _, text := range f.Node.Record.Addresses {
		if a, err := netip.ParseAddr(text); err == nil {
			addresses = append(addresses, a)
		} else {
			names = append(names, text)
		}
	}
	return names, addresses
}

func texts(names []string, addresses []netip.Addr) []string {
	out := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == "" })
	for _, a := range addresses {
		out = append(out, a.String())
	}
	return out
}

// foreignNames are what is asked for and not the node's, the first few.
func foreignNames(r Request, names []string, addresses []netip.Addr) []string {
	var foreign []string
	for _, n := range r.DNSNames {
		if n == "" || !slices.ContainsFunc(names, func(own string) bool { return strings.EqualFold(own, n) }) {
			foreign = append(foreign, n)
		}
	}
	for _, a := range r.IPs {
		if !slices.Contains(addresses, a) {
			foreign = append(foreign, a.String())
		}
	}
	return foreign
}
