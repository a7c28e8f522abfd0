package vpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/netns"
)

// metadata is the address at which EC2 answers an instance about itself.
const metadata = "169.254.169.254"

// Port says how one instance is wired in.
type Port struct {
	// Name is unique in the run and names the instance's namespaces.
	Name string
	// IP is the instance's address inside Subnet.
	IP netip.Addr
	// Services maps the virtual addresses of Services, "10.96.0.1:443", to the
	// address that stands behind each: the lab runs no kube-proxy.
	Services map[string]string
}

// Validate says what is wrong with p.
func (p Port) Validate() error {
	subnet := netip.MustParsePrefix(Subnet)
	switch {
	case !subnet.Contains(p.IP):
		return fmt.Errorf("address %s is outside of %s", p.IP, Subnet)
	case p.octet() < 4 || p.octet() == 255:
		// VPCs keep the first four addresses and the last one for themselves.
		return fmt.Errorf("address %s is reserved", p.IP)
	}
	return nil
}

func (p Port) octet() int {
	b := p.IP.As4()
	return int(b[3])
}

// PodSubnet is the range of the pods on the instance with address ip, taken
// from PodRange by the address's last octet.
func PodSubnet(ip netip.Addr) netip.Prefix {
	b := ip.As4()
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, b[3], 0}), 24)
}

// Namespaces names the network namespaces of the instance called name: its own
// and the one that its metadata service answers in.
func (v *VPC) Namespaces(name string) (instance, metadata string) {
	return v.prefix + "-" + name, v.prefix + "-" + name + "-md"
}

// Attach makes the instance's namespaces and wires them.
func (v *VPC) Attach(ctx context.Context, p Port) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("attach %s: %w", p.Name, err)
	}
	instance, md := v.Namespaces(p.Name)
	err := netns.Create(instance)
	if err == nil {
		err = netns.Create(md)
	}
	if err == nil {
		err = v.wire(p, instance)
	}
	if err == nil {
		err = wireMetadata(p, instance, md)
	}
	if err == nil {
		err = redirect(ctx, p, instance)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("attach %s: %w", p.Name, err), v.Detach(p))
	}
	return nil
}

// Detach removes what Attach made. What is gone already is no error.
func (v *VPC) Detach(p Port) error {
	instance, md := v.Namespaces(p.Name)
	// The link first: a namespace dies, and takes its links along, only some time
	// after its last user, so the instance's address could not be used at once.
	return errors.Join(v.unwire(p), netns.Delete(instance), netns.Delete(md))
}

// Cut disconnects the instance from the router, and so from all other instances
// and from what listens at Gateway; its metadata service and its inside stay.
// Nothing is refused: what is sent is lost, as behind a network that failed.
// Cutting twice changes nothing.
func (v *VPC) Cut(p Port) error {
	if err := v.setPort(p, (*netlink.Handle).LinkSetDown); err != nil {
		return fmt.Errorf("cut %s off: %w", p.Name, err)
	}
	return nil
}

// Mend undoes Cut.
func (v *VPC) Mend(p Port) error {
	if err := v.setPort(p, (*netlink.Handle).LinkSetUp); err != nil {
		return fmt.Errorf("connect %s again: %w", p.Name, err)
	}
	return nil
}

// setPort changes the router's end of an instance's link. The instance's own end
// keeps its address and routes: it only has no carrier.
func (v *VPC) setPort(p Port, set func(*netlink.Handle, netlink.Link) error) error {
	h, err := handle(v.Namespace())
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(v.port(p))
	if err != nil {
		return fmt.Errorf("find link %s: %w", v.port(p), err)
	}
	return set(h, link)
}

// unwire removes the route to the instance's pods and the router's end of its
// link, and with that the other end.
func (v *VPC) unwire(p Port) error {
	h, err := handle(v.Namespace())
	if err != nil {
		return err
	}
	defer h.Close()
	_ = h.RouteDel(&netlink.Route{Dst: ipNet(PodSubnet(p.IP)), Gw: p.IP.AsSlice()}) // may never have been added
	link, err := h.LinkByName(v.port(p))
	if err != nil {
		return nil // never made, or gone with the instance's namespace
	}
	if err := h.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove link: %w", err)
	}
	return nil
}

// ListenMetadata opens port 80 at 169.254.169.254 for the instance called name.
// hops is how far answers travel: with 1 they reach the instance and not its
// pods (EC2's HttpPutResponseHopLimit).
func (v *VPC) ListenMetadata(ctx context.Context, name string, hops int) (net.Listener, error) {
	_, md := v.Namespaces(name)
	return netns.Listen(ctx, md, metadata+":80", hops)
}

// port names the router's end of an instance's link; a link's name has at most
// 15 characters.
func (v *VPC) port(p Port) string { return fmt.Sprintf("%sv%d", v.prefix, p.octet()) }

// wire joins the instance's eth0 to the bridge.
func (v *VPC) wire(p Port, instance string) error {
	in, err := handle(instance)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := handle(v.Namespace())
	if err != nil {
		return err
	}
	defer out.Close()
	if err := addVeth(in, "eth0", v.port(p), v.Namespace()); err != nil {
		return err
	}
	if err := join(out, v.port(p)); err != nil {
		return err
	}
	eth0, err := in.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find eth0: %w", err)
	}
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(p.IP, 24))}
	if err := in.AddrAdd(eth0, addr); err != nil {
		return fmt.Errorf("add address: %w", err)
	}
	if err := errors.Join(linkUp(in, "lo"), linkUp(in, "eth0")); err != nil {
		return err
	}
	if err := in.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.ParseIP(Gateway)}); err != nil {
		return fmt.Errorf("add default route: %w", err)
	}
	if err := out.RouteReplace(&netlink.Route{Dst: ipNet(PodSubnet(p.IP)), Gw: p.IP.AsSlice()}); err != nil {
		return fmt.Errorf("add pod route: %w", err)
	}
	return nil
}

// join makes the link called name a port of the bridge.
func join(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	br, err := h.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("find bridge: %w", err)
	}
	if err := h.LinkSetMaster(link, br); err != nil {
		return fmt.Errorf("join %s to bridge: %w", name, err)
	}
	return linkUp(h, name)
}

// wireMetadata gives the instance a link of its own to 169.254.169.254, in a
// namespace that nobody else is linked to.
func wireMetadata(p Port, instance, md string) error {
	in, err := handle(instance)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := handle(md)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := addVeth(in, "imds0", "md", md); err != nil {
		return err
	}
	if err := errors.Join(linkUp(out, "lo"), linkUp(out, "md"), linkUp(in, "imds0")); err != nil {
		return err
	}
	near, err := in.LinkByName("imds0")
	if err != nil {
		return fmt.Errorf("find imds0: %w", err)
	}
	far, err := out.LinkByName("md")
	if err != nil {
		return fmt.Errorf("find md: %w", err)
	}
	own, peer := netip.PrefixFrom(netip.MustParseAddr(metadata), 32), netip.PrefixFrom(p.IP, 32)
	if err := out.AddrAdd(far, &netlink.Addr{IPNet: ipNet(own)}); err != nil {
		return fmt.Errorf("add metadata address: %w", err)
	}
	index := far.Attrs().Index
	return errors.Join(
		in.RouteAdd(&netlink.Route{LinkIndex: near.Attrs().Index, Dst: ipNet(own), Src: p.IP.AsSlice(), Scope: netlink.SCOPE_LINK}),
		out.RouteAdd(&netlink.Route{LinkIndex: index, Dst: ipNet(peer), Scope: netlink.SCOPE_LINK}),
		out.RouteAdd(&netlink.Route{LinkIndex: index, Gw: p.IP.AsSlice()}),
	)
}

// addVeth makes a pair of links: name at h, peer in the namespace called there.
func addVeth(h *netlink.Handle, name, peer, there string) error {
	ns, err := vishns.GetFromPath(netns.Path(there))
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", there, err)
	}
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	err = h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer, PeerNamespace: netlink.NsFd(int(ns))})
	if err != nil {
		return fmt.Errorf("add link %s: %w", name, err)
	}
	return nil
}

// redirect stands for kube-proxy: what the instance or its pods send to the
// virtual address of a Service goes to the one address behind it.
func redirect(ctx context.Context, p Port, instance string) error {
	for service, behind := range p.Services {
		ip, port, err := net.SplitHostPort(service)
		if err != nil {
			return fmt.Errorf("redirect service: %w", err)
		}
		for _, chain := range []string{"PREROUTING", "OUTPUT"} {
			cmd := exec.CommandContext(ctx, "iptables", "-w", "-t", "nat", "-A", chain, "-d", ip+"/32",
				"-p", "tcp", "--dport", port, "-j", "DNAT", "--to-destination", behind)
			host.Detach(cmd)
			var text strings.Builder
			cmd.Stdout, cmd.Stderr = &text, &text
			err := netns.Start(instance, cmd)
			if err == nil {
				err = cmd.Wait()
			}
			if err != nil {
				return fmt.Errorf("redirect %s: %w: %s", service, err, strings.TrimSpace(text.String()))
			}
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}
