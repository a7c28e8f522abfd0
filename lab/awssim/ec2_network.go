package awssim

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// subnet is a zone's subnet. All share the world's address range, which AWS
// would not allow and which lets the machines of one lab share one network.
type subnet struct{ id, zone, zoneID string }

func (w *World) makeSubnets() {
	for n, zone := range w.Zones {
		w.subnets = append(w.subnets, subnet{
			id: fmt.Sprintf("subnet-0%016x", n+1), zone: zone,
			zoneID: fmt.Sprintf("%s-az%d", shortRegion(w.Region), n+1),
		})
	}
}

func (w *World) subnetOf(zone string) (subnet, bool) {
	i := slices.IndexFunc(w.subnets, func(s subnet) bool { return s.zone == zone })
	if i < 0 {
		return subnet{}, false
	}
	return w.subnets[i], true
}

// Subnets returns the subnet id of each zone.
func (w *World) Subnets() map[string]string {
	w.start()
	out := map[string]string{}
	for _, s := range w.subnets {
		out[s.zone] = s.id
	}
	return out
}

// nextAddressLocked returns the address for a new instance: going up from the
// first host and starting over at the end, so that an address comes back as
// late as possible and the node name that it makes does too.
func (w *World) nextAddressLocked(used map[string]bool) (netip.Addr, error) {
	network, err := netip.ParsePrefix(w.CIDR)
	if err != nil || !network.Addr().Is4() {
		return netip.Addr{}, fail("InvalidParameterValue", "awssim: CIDR %s is no IPv4 range", w.CIDR)
	}
	last := w.LastHost
	setDefault(&last, 1<<(32-network.Bits())-2)
	base := binary.BigEndian.Uint32(network.Masked().Addr().AsSlice())
	for range last - w.FirstHost + 1 {
		if w.nextHost < w.FirstHost || w.nextHost > last {
			w.nextHost = w.FirstHost
		}
		var raw [4]byte
		binary.BigEndian.PutUint32(raw[:], base+uint32(w.nextHost))
		w.nextHost++
		if a := netip.AddrFrom4(raw); !used[a.String()] {
			return a, nil
		}
	}
	return netip.Addr{}, fail("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet to satisfy the requested number of instances.")
}

// privateDNSName is the IP-based name that EC2 gives an address.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/hostname-types.html
func (w *World) privateDNSName(ip string) string {
	host := "ip-" + strings.ReplaceAll(ip, ".", "-")
	if w.Region == "us-east-1" {
		return host + ".ec2.internal"
	}
	return host + "." + w.Region + ".compute.internal"
}

// macFor makes the hardware address of an address, which is unique as it is.
func macFor(a netip.Addr) string {
	b := a.As4()
	return fmt.Sprintf("0a:58:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

func (w *World) describeZones(req *request) (any, error) {
	var zones []subnet
	names, ids := req.form.strs("ZoneName"), req.form.strs("ZoneId")
	for _, n := range names {
		if _, ok := w.subnetOf(n); !ok {
			return nil, fail("InvalidParameterValue", "Invalid availability zone: [%s]", n)
		}
	}
	for _, s := range w.subnets {
		if len(names) > 0 && !slices.Contains(names, s.zone) || len(ids) > 0 && !slices.Contains(ids, s.zoneID) {
			continue
		}
		ok, err := matchFilters(req.form.filters(), func(name string) ([]string, bool) {
			v, known := map[string]string{"zone-name": s.zone, "zone-id": s.zoneID, "state": "available", "region-name": w.Region,
				"zone-type": "availability-zone", "opt-in-status": "opt-in-not-required", "group-name": w.Region}[name]
			return []string{v}, known
		})
		if err != nil {
			return nil, err
		}
		if ok {
			zones = append(zones, s)
		}
	}
	return []node{elList("availabilityZoneInfo", "item", zones, func(s subnet) any {
		return []node{
			el("zoneName", s.zone), el("zoneState", "available"), el("zoneId", s.zoneID), el("regionName", w.Region),
			el("zoneType", "availability-zone"), el("optInStatus", "opt-in-not-required"), el("groupName", w.Region),
			el("networkBorderGroup", w.Region), el("messageSet", []node{}),
		}
	})}, nil
}

func (w *World) describeSubnets(req *request) (any, error) {
	size, err := pageSize(req, "SubnetId", 5, 1000)
	if err != nil {
		return nil, err
	}
	ids := req.form.strs("SubnetId")
	for _, id := range ids {
		if !slices.ContainsFunc(w.subnets, func(s subnet) bool { return s.id == id }) {
			return nil, fail("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
		}
	}
	var shown []subnet
	for _, s := range w.subnets {
		if len(ids) > 0 && !slices.Contains(ids, s.id) {
			continue
		}
		ok, err := matchFilters(req.form.filters(), func(name string) ([]string, bool) {
			v, known := map[string]string{"subnet-id": s.id, "vpc-id": w.VPCID, "availability-zone": s.zone, "availabilityZone": s.zone, "availability-zone-id": s.zoneID, "state": "available"}[name]
			if known {
				return []string{v}, true
			}
			return tagFilter(name, w.tags[s.id])
		})
		if err != nil {
			return nil, err
		}
		if ok {
			shown = append(shown, s)
		}
	}
	part, next, ok := page(shown, req.form.str("NextToken"), size)
	if !ok {
		return nil, badToken()
	}
	return []node{elList("subnetSet", "item", part, func(s subnet) any {
		return []node{
			el("subnetId", s.id), el("subnetArn", w.arn("ec2", "subnet/"+s.id)), el("state", "available"), el("vpcId", w.VPCID),
			el("cidrBlock", w.CIDR), el("availableIpAddressCount", 200), el("availabilityZone", s.zone), el("availabilityZoneId", s.zoneID),
			el("defaultForAz", false), el("mapPublicIpOnLaunch", false), el("ownerId", w.AccountID), tagNodes("tagSet", w.tags[s.id]),
		}
	}), el("nextToken", next)}, nil
}

// describeRegions shows the world's region, the only one that there is.
func (w *World) describeRegions(req *request) (any, error) {
	for _, name := range req.form.strs("RegionName") {
		if name != w.Region {
			return nil, fail("InvalidParameterValue", "Invalid region provided: '%s'", name)
		}
	}
	ok, err := matchFilters(req.form.filters(), func(name string) ([]string, bool) {
		v, known := map[string]string{"region-name": w.Region, "endpoint": w.ec2Endpoint(), "opt-in-status": "opt-in-not-required"}[name]
		return []string{v}, known
	})
	if err != nil {
		return nil, err
	}
	var regions []string
	if ok {
		regions = []string{w.Region}
	}
	return []node{elList("regionInfo", "item", regions, func(name string) any {
		return []node{el("regionName", name), el("regionEndpoint", w.ec2Endpoint()), el("optInStatus", "opt-in-not-required")}
	})}, nil
}

func (w *World) ec2Endpoint() string { return "ec2." + w.Region + "." + w.dnsSuffix() }
