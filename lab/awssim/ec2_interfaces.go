package awssim

import (
	"net/netip"
	"slices"
)

// NetworkInterface is an ENI of an instance.
type NetworkInterface struct {
	ID          string
	MAC         string
	DeviceIndex int      // 0: the primary interface
	PrivateIPs  []string // the primary address first, then the secondary ones
	IPv6        []string
}

// InterfaceSpec describes the addresses of an interface.
type InterfaceSpec struct {
	PrivateIP    string   // primary address; the next free one when empty
	SecondaryIPs []string // further addresses of the world's range
	IPv6         []string
}

// addresses lists all private IPv4 addresses of an instance.
func (i Instance) addresses() (out []string) {
	for _, e := range i.Interfaces {
		out = append(out, e.PrivateIPs...)
	}
	return out
}

// ipv6 lists all IPv6 addresses of an instance.
func (i Instance) ipv6() (out []string) {
	for _, e := range i.Interfaces {
		out = append(out, e.IPv6...)
	}
	return out
}

func cloneInterfaces(in []NetworkInterface) []NetworkInterface {
	out := slices.Clone(in)
	for n := range out {
		out[n].PrivateIPs, out[n].IPv6 = slices.Clone(out[n].PrivateIPs), slices.Clone(out[n].IPv6)
	}
	return out
}

// interfacesLocked makes the interfaces of a new instance. Addresses that are
// asked for are taken before any is chosen.
func (w *World) interfacesLocked(specs []InterfaceSpec) ([]NetworkInterface, error) {
	if len(specs) == 0 {
		specs = []InterfaceSpec{{}}
	}
	taken := w.addressesInUseLocked()
	for _, spec := range specs {
		for _, ip := range append([]string{spec.PrivateIP}, spec.SecondaryIPs...) {
			if ip == "" {
				continue
			}
			if err := w.checkAddress(ip, taken); err != nil {
				return nil, err
			}
			taken[ip] = true
		}
		for _, ip := range spec.IPv6 {
			if a, err := netip.ParseAddr(ip); err != nil || !a.Is6() || taken[ip] {
				return nil, fail("InvalidParameterValue", "%s is no free IPv6 address", ip)
			}
			taken[ip] = true
		}
	}
	var out []NetworkInterface
	for n, spec := range specs {
		if spec.PrivateIP == "" {
			next, err := w.nextAddressLocked(taken)
			if err != nil {
				return nil, err
			}
			spec.PrivateIP = next.String()
			taken[spec.PrivateIP] = true
		}
		out = append(out, NetworkInterface{
			ID: w.idLocked("eni-"), MAC: macFor(netip.MustParseAddr(spec.PrivateIP)), DeviceIndex: n,
			PrivateIPs: append([]string{spec.PrivateIP}, spec.SecondaryIPs...), IPv6: slices.Clone(spec.IPv6),
		})
	}
	return out, nil
}

func (w *World) addressesInUseLocked() map[string]bool {
	used := map[string]bool{}
	for _, i := range w.instances {
		if i.State != Terminated {
			for _, ip := range append(i.addresses(), i.ipv6()...) {
				used[ip] = true
			}
		}
	}
	return used
}

func (w *World) checkAddress(ip string, taken map[string]bool) error {
	a, err := netip.ParseAddr(ip)
	if network, perr := netip.ParsePrefix(w.CIDR); err != nil || perr != nil || !network.Contains(a) {
		return fail("InvalidParameterValue", "Address %s does not fall within the subnet's address range", ip)
	}
	if taken[ip] {
		return fail("InvalidIPAddress.InUse", "Address %s is in use.", ip)
	}
	return nil
}

func (w *World) interfaceNodes(i *instance, e NetworkInterface) []node {
	name := w.privateDNSName(e.PrivateIPs[0])
	n := []node{
		el("networkInterfaceId", e.ID), el("subnetId", i.SubnetID), el("vpcId", i.VPCID), el("ownerId", w.AccountID),
		el("status", "in-use"), el("macAddress", e.MAC), el("privateIpAddress", e.PrivateIPs[0]), el("privateDnsName", name),
		el("sourceDestCheck", true), w.securityGroupNodes(i.SecurityGroups),
		el("attachment", []node{el("deviceIndex", e.DeviceIndex), el("status", "attached"), el("attachTime", i.LaunchTime), el("deleteOnTermination", true)}),
		elList("privateIpAddressesSet", "item", e.PrivateIPs, func(ip string) any {
			return []node{el("privateIpAddress", ip), el("privateDnsName", w.privateDNSName(ip)), el("primary", ip == e.PrivateIPs[0])}
		}),
		el("interfaceType", "interface"),
	}
	return append(n, elList("ipv6AddressesSet", "item", e.IPv6, func(ip string) any { return []node{el("ipv6Address", ip)} }))
}
