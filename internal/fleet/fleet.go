// Package fleet is the model of what EC2 and Auto Scaling say: instances, their
// lifecycle states and the provider id by which a Node names one. Control plane
// and autoscaler both build on it. It does no I/O.
package fleet

import (
	"net/netip"
	"regexp"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/identity"
)

// Instance is what EC2 says about an instance.
type Instance struct {
	// ID such as i-0123456789abcdef0.
	ID string
	// State is pending, running, shutting-down, terminated, stopping or stopped.
	State string
	// PrivateIP is the primary private IPv4 address; empty once terminated.
	PrivateIP string
	// Zone such as us-west-2a.
	Zone string
	// VPC such as vpc-0123; empty once terminated.
	VPC string
	// PrivateDNSName and PublicDNSName are the names that EC2 gave it; either may
	// be empty.
	PrivateDNSName, PublicDNSName string
	// Addresses are all of its IP addresses, of every interface, public ones
	// included.
	Addresses []netip.Addr
	// PrimaryAddresses are those of Addresses that stay with the instance: the
	// primary private IPv4 address of its primary network interface, the public one
	// that belongs to it, and that interface's IPv6 addresses. A secondary private
	// address and a further interface can be moved to another instance, or be a
	// pod's (EC2 User Guide, "Secondary IP addresses"; Amazon VPC CNI).
	PrimaryAddresses []netip.Addr
	// Type such as t3.medium.
	Type string
	// ImageID such as ami-0123.
	ImageID string
	// LaunchTime is when the instance was last started.
	LaunchTime time.Time
	// Cluster is the value of the tag v1alpha1.ClusterTag or, for an instance without
	// it whose group the configuration names, the configuration's cluster (Scope).
	Cluster string
	// Group is the Auto Scaling group that launched it; empty for none.
	Group string
}

// Alive reports whether the instance is pending or running.
func (i Instance) Alive() bool { return i.State == "pending" || i.State == "running" }

// Going reports whether the instance is terminated or about to be. There is no way
// back from that (EC2 User Guide, "instance state changes").
func (i Instance) Going() bool { return i.State == "terminated" || i.State == "shutting-down" }

// NodeName returns what the instance's Node is called in a cluster of that region
// and naming mode, by the function that the agent uses. An error means that EC2 does
// not say enough, as of an instance without an address.
func (i Instance) NodeName(region string, mode v1alpha1.NodeNameMode) (string, error) {
	return identity.NodeName(identity.Facts{InstanceID: i.ID, Region: region, Zone: i.Zone, PrivateIP: i.PrivateIP}, mode)
}

var providerID = regexp.MustCompile(`^aws://(?:/[a-z0-9-]*)?/(i-[0-9a-f]+)$|^aws://[a-z0-9-]+/(i-[0-9a-f]+)$`)

// ValidID reports whether text has the form of an instance id.
func ValidID(text string) bool { return identity.ValidInstanceID(text) }

// FromProviderID returns the instance id in a Node's provider id, or false:
//   - aws:///<zone>/<id>, as cloud-provider-aws writes it; the zone may be empty;
//   - aws:///<id> and aws://<zone>/<id>, which older tools and operators wrote and
//     cloud-provider-aws reads too (KubernetesInstanceID.MapToAWSInstanceID).
//
// The zone is not looked at: it is a claim, and the id alone names the instance.
func FromProviderID(text string) (string, bool) {
	m := providerID.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	id := m[1] + m[2] // one of them is empty
	if !ValidID(id) {
		return "", false
	}
	return id, true
}
