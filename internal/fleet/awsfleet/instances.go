package awsfleet

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
)

// groupTag is the tag by which Auto Scaling marks the instances of a group
// (Amazon EC2 Auto Scaling User Guide, "Tag Auto Scaling groups and instances").
const groupTag = "aws:autoscaling:groupName"

// ByPrivateIP returns the instances that have ip as their primary private address
// now, of every VPC of the account, sorted by id.
func (r *Reader) ByPrivateIP(ctx context.Context, ip netip.Addr) ([]fleet.Instance, error) {
	return r.filter(ctx, "private-ip-address", ip.String())
}

// ByID returns the instances of ids that EC2 knows now, sorted by id. Ids that it
// does not know are missing from the answer and are no error: an instance disappears
// about an hour after its termination and appears some seconds after its launch.
func (r *Reader) ByID(ctx context.Context, ids ...string) ([]fleet.Instance, error) {
	// A filter, because one unknown id in InstanceIds fails the whole call.
	return r.filter(ctx, "instance-id", ids...)
}

// Instances returns the instances that are tagged as the cluster's, and those of named
// groups, in any state, sorted by id. The caller must not change what the slice holds.
func (r *Reader) Instances(ctx context.Context, maxAge time.Duration) ([]fleet.Instance, error) {
	found, _, err := r.listed.get(ctx, maxAge, func(ctx context.Context) ([]fleet.Instance, error) {
		tagged, err := r.filter(ctx, "tag:"+v1alpha1.ClusterTag, r.o.Scope.Cluster)
		names := r.o.Scope.Names()
		if err != nil || len(names) == 0 {
			return tagged, err
		}
		named, err := r.filter(ctx, "tag:"+groupTag, names...)
		if err != nil {
			return nil, err
		}
		return merge(tagged, named, func(i fleet.Instance) string { return i.ID }), nil
	})
	return slices.Clone(found), err
}

// merge returns what either list has, once, sorted by name.
func merge[T any](a, b []T, name func(T) string) []T {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	return slices.CompactFunc(all, func(a, b T) bool { return name(a) == name(b) })
}

// filter asks for the instances with one of the values, in as many calls as it takes,
// and remembers what was shown.
func (r *Reader) filter(ctx context.Context, name string, values ...string) ([]fleet.Instance, error) {
	at := r.o.Now()
	var found []fleet.Instance
	for chunk := range slices.Chunk(values, maxFilterValues) {
		in := &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String(name), Values: chunk}}, MaxResults: aws.Int32(maxInstances)}
		for pages := ec2.NewDescribeInstancesPaginator(r.o.EC2, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("describe instances by %s: %w", name, err)
			}
			for _, res := range page.Reservations {
				for _, i := range res.Instances {
					found = append(found, r.o.Scope.Instance(instanceOf(i)))
				}
			}
		}
	}
	r.sighted.shown(found, at)
	slices.SortFunc(found, func(a, b fleet.Instance) int { return strings.Compare(a.ID, b.ID) })
	return found, nil
}

func instanceOf(i types.Instance) fleet.Instance {
	out := fleet.Instance{
		ID: aws.ToString(i.InstanceId), PrivateIP: aws.ToString(i.PrivateIpAddress),
		VPC: aws.ToString(i.VpcId), LaunchTime: aws.ToTime(i.LaunchTime), Type: string(i.InstanceType), ImageID: aws.ToString(i.ImageId),
		PrivateDNSName: aws.ToString(i.PrivateDnsName), PublicDNSName: aws.ToString(i.PublicDnsName),
		Addresses: addresses(i), PrimaryAddresses: primaryAddresses(i),
	}
	if i.State != nil {
		out.State = string(i.State.Name)
	}
	if i.Placement != nil {
		out.Zone = aws.ToString(i.Placement.AvailabilityZone)
	}
	for _, t := range i.Tags {
		switch aws.ToString(t.Key) {
		case v1alpha1.ClusterTag:
			out.Cluster = aws.ToString(t.Value)
		case groupTag:
			out.Group = aws.ToString(t.Value)
		}
	}
	return out
}

// addresses are those of all interfaces.
func addresses(i types.Instance) []netip.Addr {
	texts := []*string{i.PrivateIpAddress, i.PublicIpAddress, i.Ipv6Address}
	for _, n := range i.NetworkInterfaces {
		for _, a := range n.PrivateIpAddresses {
			texts = append(texts, a.PrivateIpAddress)
			if a.Association != nil {
				texts = append(texts, a.Association.PublicIp)
			}
		}
		for _, a := range n.Ipv6Addresses {
			texts = append(texts, a.Ipv6Address)
		}
	}
	return parsed(texts)
}

// primaryAddresses are those of fleet.Instance.PrimaryAddresses. The instance's own
// public address is that of its primary private one, if that has one.
func primaryAddresses(i types.Instance) []netip.Addr {
	texts := []*string{i.PrivateIpAddress}
	for _, n := range i.NetworkInterfaces {
		if n.Attachment == nil || aws.ToInt32(n.Attachment.DeviceIndex) != 0 || aws.ToInt32(n.Attachment.NetworkCardIndex) != 0 {
			continue
		}
		for _, a := range n.PrivateIpAddresses {
			if aws.ToBool(a.Primary) && a.Association != nil {
				texts = append(texts, a.Association.PublicIp)
			}
		}
		for _, a := range n.Ipv6Addresses {
			texts = append(texts, a.Ipv6Address)
		}
	}
	return parsed(texts)
}

// parsed reads addresses. What does not parse is left out: it can only be missed,
// never granted.
func parsed(texts []*string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(aws.ToString(text)); err == nil {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
