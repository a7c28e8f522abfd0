// Package awsfleet reads what EC2 and Auto Scaling say, for all parts of the
// controller: one Reader, whose pictures they share. It decides nothing, and it
// changes nothing.
//
// Every question names the age of an answer that will do. What decides about an
// identity right before a write asks with no age, or by ByID and ByPrivateIP, which
// never answer from memory.
package awsfleet

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"github.com/joinery/joinery/internal/fleet"
)

// Bounds of one call (EC2 and EC2 Auto Scaling API References).
const (
	maxFilterValues = 200  // values in one filter of EC2
	maxInstances    = 1000 // DescribeInstances, in one answer
	maxInstanceIDs  = 50   // DescribeAutoScalingInstances
	maxGroups       = 100  // DescribeAutoScalingGroups, in one answer
	maxGroupNames   = 50   // DescribeAutoScalingGroups, in one question
)

// instancesAPI is the part of the EC2 client that Reader uses.
type instancesAPI interface {
	DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
}

// groupsAPI is the part of the Auto Scaling client that Reader uses.
type groupsAPI interface {
	DescribeAutoScalingGroups(context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
	DescribeAutoScalingInstances(context.Context, *autoscaling.DescribeAutoScalingInstancesInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingInstancesOutput, error)
	DescribeWarmPool(context.Context, *autoscaling.DescribeWarmPoolInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeWarmPoolOutput, error)
}

// Options are what a Reader needs; all but Now are required.
type Options struct {
	EC2         instancesAPI
	AutoScaling groupsAPI
	// Scope is whose groups and instances are looked at.
	Scope fleet.Scope
	// Now is the clock of answers' ages; time.Now if nil.
	Now func() time.Time
}

// Reader asks EC2 and Auto Scaling. It is safe for concurrent use; whoever asks for
// what is being asked for already waits for that answer.
type Reader struct {
	o       Options
	groups  picture[[]fleet.Group]
	listed  picture[[]fleet.Instance]
	pools   pools
	sighted sightings
}

// New returns a Reader that has not asked AWS anything yet.
func New(o Options) *Reader {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Reader{o: o,
		groups: newPicture[[]fleet.Group](o.Now), listed: newPicture[[]fleet.Instance](o.Now),
		pools: pools{now: o.Now}, sighted: newSightings(o.Now),
	}
}

// Changed says that the caller changed groups, and which instances it ended: what is
// remembered of them is not true any more.
func (r *Reader) Changed(instances ...string) {
	r.groups.outdate()
	r.pools.outdate()
	if len(instances) > 0 {
		r.listed.outdate()
		r.sighted.forget(instances)
	}
}

// Answer is AWS's answer alone if the error holds one: the SDK adds a request id,
// which would make the same trouble look new, and worth an event, each time.
func Answer(err error) error {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer
	}
	return err
}
