package vpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/joinery/joinery/lab/netns"
)

const (
	// Gateway is the router's address, and the simulated AWS's.
	Gateway = "10.99.0.1"
	// Subnet is the only subnet; instance addresses are taken from it.
	Subnet = "10.99.0.0/24"
	// PodRange holds the /24 of each instance's pods.
	PodRange = "10.244.0.0/16"
	// bridgeMAC never changes. A bridge without an own address takes its ports'
	// smallest, so ports that come and go would break the ARP caches of all
	// instances for half a minute.
	bridgeMAC = "02:00:0a:63:00:01"
	bridge    = "br0"
)

// VPC is one run's private network.
type VPC struct {
	prefix string
}

// Create makes the network of the run that prefix names.
func Create(prefix string) (*VPC, error) {
	v := &VPC{prefix: prefix}
	if err := netns.Create(v.Namespace()); err != nil {
		return nil, err
	}
	if err := v.setUp(); err != nil {
		return nil, errors.Join(fmt.Errorf("make VPC: %w", err), v.Delete())
	}
	return v, nil
}

// Namespace names the network namespace of the bridge.
func (v *VPC) Namespace() string { return v.prefix + "vpc" }

// Delete removes the network. Instances must be detached before.
func (v *VPC) Delete() error { return netns.Delete(v.Namespace()) }

// DialContext connects to a literal address inside the network.
func (v *VPC) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return netns.Dialer(v.Namespace())(ctx, network, address)
}

// Listen opens a TCP port on the router, where every instance reaches it at
// Gateway.
func (v *VPC) Listen(ctx context.Context, port int) (net.Listener, error) {
	return netns.Listen(ctx, v.Namespace(), net.JoinHostPort(Gateway, fmt.Sprint(port)), 0)
}

func (v *VPC) setUp() error {
	h, err := handle(v.Namespace())
	if err != nil {
		return err
	}
	defer h.Close()
	if err := linkUp(h, "lo"); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridge
	if attrs.HardwareAddr, err = net.ParseMAC(bridgeMAC); err != nil {
		return fmt.Errorf("parse bridge address: %w", err)
	}
	br := &netlink.Bridge{LinkAttrs: attrs}
	if err := h.LinkAdd(br); err != nil {
		return fmt.Errorf("add bridge: %w", err)
	}
	addr, err := netlink.ParseAddr(Gateway + "/24")
	if err != nil {
		return fmt.Errorf("parse gateway: %w", err)
	}
	if err := h.AddrAdd(br, addr); err != nil {
		return fmt.Errorf("add gateway address: %w", err)
	}
	if err := linkUp(h, bridge); err != nil {
		return err
	}
	// /proc/sys/net shows the namespace of the thread that opens it.
	return netns.Do(v.Namespace(), func() error {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
			return fmt.Errorf("route between instances: %w", err)
		}
		return nil
	})
}

// handle opens a netlink socket inside the namespace called name.
func handle(name string) (*netlink.Handle, error) {
	ns, err := vishns.GetFromPath(netns.Path(name))
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", name, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink inside %s: %w", name, err)
	}
	if err := h.SetSocketTimeout(5 * time.Second); err != nil {
		h.Close()
		return nil, fmt.Errorf("open netlink inside %s: %w", name, err)
	}
	return h, nil
}

func linkUp(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link %s up: %w", name, err)
	}
	return nil
}
