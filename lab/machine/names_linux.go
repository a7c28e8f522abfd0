package machine

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/joinery/joinery/lab/vpc"
)

// DefaultRoot is where runs keep their machines' disks. It must be on a file
// system that can carry an overlay's upper directory, so neither tmpfs on old
// kernels nor another overlay will do.
const DefaultRoot = "/var/lib/joinery-lab"

// prefixes matches what NewPrefix makes. Six characters leave room for the
// longest network link name, which the kernel limits to 15.
var prefixes = regexp.MustCompile(`^jl[a-z2-7]{4}`)

// NewPrefix returns a run's name that no other run has, as far as chance goes.
func NewPrefix() string { return "jl" + strings.ToLower(rand.Text()[:4]) }

// validID limits machine names to what host names, cgroups and paths all take.
var validID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$`)

// hostName is the name that an instance bears before anything sets a better
// one, as Amazon's images do.
func hostName(ip netip.Addr) string {
	return "ip-" + strings.ReplaceAll(ip.String(), ".", "-")
}

// conflist is the CNI configuration of the instance with address ip: pods are
// routed point to point, out of a range that follows from the address.
func conflist(ip netip.Addr) []byte {
	return fmt.Appendf(nil, `{
  "cniVersion": "0.4.0",
  "name": "lab",
  "plugins": [
    {
      "type": "ptp",
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": %q}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
`, vpc.PodSubnet(ip))
}
