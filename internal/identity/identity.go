// Package identity says what a node is called, from facts about its instance.
// The agent that joins and the approver that decides about its certificate use
// the same functions, so that a name can be neither misread nor invented. It
// does no I/O.
package identity

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Facts are what EC2 says about an instance. To the agent they come from the
// instance identity document, to the approver from DescribeInstances.
type Facts struct {
	// InstanceID, such as i-0123456789abcdef0.
	InstanceID string
	// Region, such as us-west-2.
	Region string
	// Zone is the availability zone, such as us-west-2a.
	Zone string
	// PrivateIP is the primary private IPv4 address.
	PrivateIP string
	// ImageID is the AMI.
	ImageID string
	// AccountID is the AWS account that owns the instance.
	AccountID string
	// InstanceType, such as m7i.large.
	InstanceType string
	// VPCID is the VPC of the primary interface; empty where it was not asked for.
	VPCID string
}

// FactError says that a fact is missing or cannot be what it says.
type FactError struct {
	// Fact is the name of the field of Facts.
	Fact string
	// Value is what stands there.
	Value string
	// Detail says what was expected.
	Detail string
}

// Error names the fact, its value and what was expected.
func (e *FactError) Error() string {
	return fmt.Sprintf("%s: %q: expected %s", e.Fact, e.Value, e.Detail)
}

var (
	instanceID = regexp.MustCompile(`^i-[0-9a-f]{8}([0-9a-f]{9})?$`)
	region     = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
)

// NodeName returns the name of the Node for an instance: the DNS name that EC2
// gives the instance by the same rule ("Amazon EC2 instance hostname types"),
// or its id. It is computed and not looked up, because PrivateDnsName can be
// late or empty and an instance may not ask EC2. Errors are *FactError.
func NodeName(f Facts, mode v1alpha1.NodeNameMode) (string, error) {
	if err := f.check(); err != nil {
		return "", err
	}
	switch mode {
	case v1alpha1.IPName:
		addr, err := netip.ParseAddr(f.PrivateIP)
		if err != nil || !addr.Is4() || addr.IsUnspecified() {
			return "", &FactError{"PrivateIP", f.PrivateIP, "an IPv4 address"}
		}
		return "ip-" + strings.ReplaceAll(addr.String(), ".", "-") + "." + domain(f.Region), nil
	case v1alpha1.ResourceName:
		return f.InstanceID + "." + domain(f.Region), nil
	case v1alpha1.InstanceIDName:
		return f.InstanceID, nil
	}
	return "", &FactError{"node name mode", string(mode),
		fmt.Sprintf("%s, %s or %s", v1alpha1.IPName, v1alpha1.ResourceName, v1alpha1.InstanceIDName)}
}

func (f Facts) check() error {
	if !ValidInstanceID(f.InstanceID) {
		return &FactError{"InstanceID", f.InstanceID, "an EC2 instance id"}
	}
	if !region.MatchString(f.Region) {
		return &FactError{"Region", f.Region, "an AWS region"}
	}
	return nil
}

// domain is the domain that Amazon's DNS serves a region's instances under.
// us-east-1 came first and kept its own.
func domain(region string) string {
	if region == "us-east-1" {
		return "ec2.internal"
	}
	return region + ".compute.internal"
}

// ProviderID returns spec.providerID of the Node for an instance, in the form
// of cloud-provider-aws. Errors are *FactError.
func ProviderID(f Facts) (string, error) {
	if err := f.check(); err != nil {
		return "", err
	}
	if !strings.HasPrefix(f.Zone, f.Region) || f.Zone == f.Region || strings.ContainsAny(f.Zone, "/ ") {
		return "", &FactError{"Zone", f.Zone, "a zone of region " + f.Region}
	}
	return FormatProviderID(f.Zone, f.InstanceID), nil
}

// FormatProviderID returns the provider id of an instance in a zone, unchecked.
// fleet.FromProviderID reads it.
func FormatProviderID(zone, instance string) string { return "aws:///" + zone + "/" + instance }
