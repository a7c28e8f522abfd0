// Package instances reads what EC2 and Auto Scaling know about the instances
// behind nodes: the facts by which a signing request is judged and by which a
// Node is known to be orphaned. It decides nothing.
package instances

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/joinery/joinery/agent/identity"
	"github.com/joinery/joinery/api/v1alpha1"
)

// groupTag is the tag by which Auto Scaling marks the instances of a group
// (Amazon EC2 Auto Scaling User Guide, "Tag Auto Scaling groups and instances").
const groupTag = "aws:autoscaling:groupName"

// maxFilterValues is how many values EC2 takes in one filter.
const maxFilterValues = 200

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
	// LaunchTime is when the instance was last started.
	LaunchTime time.Time
	// Cluster is the value of the tag v1alpha1.ClusterTag.
	Cluster string
	// Group is the Auto Scaling group that launched it; empty for none.
	Group string
}

// Alive says that the instance is on its way up or running.
func (i Instance) Alive() bool { return i.State == "pending" || i.State == "running" }

// Going says that the instance is terminated or about to be; there is no way
// back from that (EC2 User Guide, "instance state changes").
func (i Instance) Going() bool { return i.State == "terminated" || i.State == "shutting-down" }

// NodeName is what the instance's Node is called in a cluster of that region and
// naming mode, by the function that the agent uses. An error says that EC2 does not
// tell enough for that, as of an instance without an address.
func (i Instance) NodeName(region string, mode v1alpha1.NodeNameMode) (string, error) {
	return identity.NodeName(identity.Facts{InstanceID: i.ID, Region: region, Zone: i.Zone, PrivateIP: i.PrivateIP}, mode)
}

// Group is what Auto Scaling says about a group and one of its instances.
type Group struct {
	// Name of the group.
	Name string
	// Tags by key.
	Tags map[string]string
	// Lifecycles maps an instance id to its lifecycle state, such as Pending,
	// InService or Terminating:Wait.
	Lifecycles map[string]string
	// WarmPool is the state that the group's warm pool keeps its instances in:
	// Stopped, Running or Hibernated; empty for a group without a pool.
	WarmPool string
	// Templates maps an instance id to the launch template version that it was
	// launched from; nil for one of a launch configuration.
	Templates map[string]*astypes.LaunchTemplateSpecification
}

// Managed says that the group carries both discovery tags for cluster, as
// Cluster Autoscaler asks for in its documentation of AWS auto-discovery.
func (g Group) Managed(cluster string) bool {
	_, enabled := g.Tags["k8s.io/cluster-autoscaler/enabled"]
	_, ours := g.Tags["k8s.io/cluster-autoscaler/"+cluster]
	return enabled && ours
}

type describer interface {
	DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
}

type groupDescriber interface {
	DescribeAutoScalingGroups(context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
	DescribeAutoScalingInstances(context.Context, *autoscaling.DescribeAutoScalingInstancesInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingInstancesOutput, error)
	DescribeWarmPool(context.Context, *autoscaling.DescribeWarmPoolInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeWarmPoolOutput, error)
}

// Reader asks EC2 and Auto Scaling. It keeps nothing: who judges identities
// must not do so by yesterday's answer.
type Reader struct {
	ec2    describer
	groups groupDescriber
}

// NewReader returns a Reader over the two clients.
func NewReader(e describer, g groupDescriber) *Reader { return &Reader{ec2: e, groups: g} }

// ByPrivateIP returns the instances that have ip as their primary private
// address, of every VPC of the account.
func (r *Reader) ByPrivateIP(ctx context.Context, ip netip.Addr) ([]Instance, error) {
	return r.filter(ctx, "private-ip-address", ip.String())
}

// ByID returns the instances of ids that EC2 knows. Ids that it does not know
// are missing from the answer and are no error: an instance disappears about an
// hour after its termination and appears some seconds after its launch.
func (r *Reader) ByID(ctx context.Context, ids ...string) ([]Instance, error) {
	var all []Instance
	for chunk := range slices.Chunk(ids, maxFilterValues) {
		// A filter, because one unknown id in InstanceIds fails the whole call.
		found, err := r.filter(ctx, "instance-id", chunk...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func (r *Reader) filter(ctx context.Context, name string, values ...string) ([]Instance, error) {
	var found []Instance
	in := &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String(name), Values: values}}}
	for pages := ec2.NewDescribeInstancesPaginator(r.ec2, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe instances by %s: %w", name, err)
		}
		for _, res := range page.Reservations {
			for _, i := range res.Instances {
				found = append(found, fromEC2(i))
			}
		}
	}
	slices.SortFunc(found, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
	return found, nil
}

func fromEC2(i types.Instance) Instance {
	out := Instance{
		ID: aws.ToString(i.InstanceId), PrivateIP: aws.ToString(i.PrivateIpAddress),
		VPC: aws.ToString(i.VpcId), LaunchTime: aws.ToTime(i.LaunchTime),
		PrivateDNSName: aws.ToString(i.PrivateDnsName), PublicDNSName: aws.ToString(i.PublicDnsName), Addresses: addresses(i),
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

// addresses are those of all interfaces. What does not parse is left out: it can
// only be missed, never granted.
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
	var out []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(aws.ToString(text)); err == nil {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// Group returns the group of that name, or nil when there is none.
func (r *Reader) Group(ctx context.Context, name string) (*Group, error) {
	out, err := r.groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", name, err)
	}
	for _, g := range out.AutoScalingGroups {
		if aws.ToString(g.AutoScalingGroupName) == name {
			return fromAutoScaling(g), nil
		}
	}
	return nil, nil
}

func fromAutoScaling(g astypes.AutoScalingGroup) *Group {
	out := &Group{
		Name: aws.ToString(g.AutoScalingGroupName), Tags: map[string]string{},
		Lifecycles: map[string]string{}, Templates: map[string]*astypes.LaunchTemplateSpecification{},
	}
	if g.WarmPoolConfiguration != nil {
		out.WarmPool = string(g.WarmPoolConfiguration.PoolState)
	}
	for _, t := range g.Tags {
		out.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	for _, i := range g.Instances {
		id := aws.ToString(i.InstanceId)
		out.Lifecycles[id], out.Templates[id] = string(i.LifecycleState), i.LaunchTemplate
	}
	return out
}

var (
	instanceID = regexp.MustCompile(`^i-[0-9a-f]{8}([0-9a-f]{9})?$`)
	providerID = regexp.MustCompile(`^aws:///[a-z0-9-]*/(i-[0-9a-f]+)$`)
)

// ValidID says whether text has the form of an instance id.
func ValidID(text string) bool { return instanceID.MatchString(text) }

// FromProviderID returns the instance id in a Node's provider id,
// aws:///<zone>/<instance id>, as cloud-provider-aws writes it, or false.
func FromProviderID(text string) (string, bool) {
	m := providerID.FindStringSubmatch(text)
	if m == nil || !ValidID(m[1]) {
		return "", false
	}
	return m[1], true
}
