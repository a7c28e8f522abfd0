package identity

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Lookup is how EC2 is asked for the instance behind a node name: by one of the
// two fields.
type Lookup struct {
	PrivateIP  netip.Addr
	InstanceID string
}

var ipName = regexp.MustCompile(`^ip-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})\.`)

// LookupFor reads out of a node name what EC2 is to be asked for; false when no
// instance of the region can have the name. It proves nothing: the name is
// computed again from what EC2 says about what was found.
func LookupFor(name, region string, mode v1alpha1.NodeNameMode) (Lookup, bool) {
	switch mode {
	case v1alpha1.IPName:
		m := ipName.FindStringSubmatch(name)
		if m == nil {
			return Lookup{}, false
		}
		addr, err := netip.ParseAddr(strings.Join(m[1:], "."))
		return Lookup{PrivateIP: addr}, err == nil && name == m[0]+domain(region)
	case v1alpha1.ResourceName:
		id, ok := strings.CutSuffix(name, "."+domain(region))
		return Lookup{InstanceID: id}, ok && ValidInstanceID(id)
	}
	return Lookup{InstanceID: name}, mode == v1alpha1.InstanceIDName && ValidInstanceID(name)
}

// ValidInstanceID reports whether text has the form of an instance id.
func ValidInstanceID(text string) bool { return instanceID.MatchString(text) }
