package soak_test

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/site"
)

// awsFaults are AWS's own. Those of calls are the controllers', or the nodes' where the
// fault says so.
var awsFaults = []fault{
	{"AWS throttles", inject(awssim.Fault{Principal: site.ControllerRole, Code: awssim.Throttle, Probability: 0.7})},
	{"EC2 fails", inject(failing("ec2"))},
	{"AutoScaling fails", inject(failing("autoscaling"))},
	{"SSM fails", inject(failing("ssm"))},
	{"STS fails", inject(failing("sts"))},
	{"KMS fails", inject(failing("kms"))},
	{"SQS fails", inject(failing("sqs"))},
	{"answers of AutoScaling are lost", inject(awssim.Fault{Service: "autoscaling", Principal: site.ControllerRole, LoseAnswer: true, Probability: 0.5})},
	{"desired capacity cannot be set", inject(awssim.Fault{Service: "autoscaling", Action: "SetDesiredCapacity", Principal: site.ControllerRole, Code: "ScalingActivityInProgress"})},
	{"SSM is slow", inject(awssim.Fault{Service: "ssm", Principal: site.ControllerRole, Delay: 3 * time.Second})},
	{"EC2 is slow", inject(awssim.Fault{Service: "ec2", Principal: site.ControllerRole, Delay: 5 * time.Second})},
	{"AutoScaling is slow", inject(awssim.Fault{Service: "autoscaling", Principal: site.ControllerRole, Delay: 5 * time.Second})},
	{"a zone has no capacity", inject(awssim.Fault{NoCapacity: &awssim.Capacity{Zone: site.Region + "a"}})},
	{"no zone has capacity", inject(awssim.Fault{NoCapacity: &awssim.Capacity{}})},
	{"new instances are described late", inject(awssim.Fault{LateDescribe: 10 * time.Second})},
	{"metadata comes late", inject(awssim.Fault{LateIMDS: 8 * time.Second})},
	{"credentials of instances come late", inject(awssim.Fault{LateCredentials: 8 * time.Second})},
	{"nodes cannot read the bundle", inject(awssim.Fault{Service: "ssm", Principal: site.NodeRole, Code: "InternalServerError", Status: http.StatusInternalServerError})},
	{"events are lost", func(k *stroke) (lift, error) {
		k.World.RouteLifecycleEvents("")
		k.World.RouteStateChanges("")
		return func(context.Context) error {
			k.World.RouteLifecycleEvents(queueName)
			k.World.RouteStateChanges(queueName)
			return nil
		}, nil
	}},
	{"a rebalance is recommended", func(k *stroke) (lift, error) {
		i, _, err := k.worker()
		if err != nil {
			return nil, err
		}
		k.World.SetRebalance(i.ID, time.Now())
		return func(context.Context) error { k.World.SetRebalance(i.ID, time.Time{}); k.spare(i.ID); return nil }, nil
	}},
	{"a spot instance is taken", func(k *stroke) (lift, error) {
		i, _, err := k.worker()
		if err != nil {
			return nil, err
		}
		k.World.SetSpotAction(i.ID, "terminate", time.Now().Add(k.step.Hold))
		return func(context.Context) error { k.World.Terminate(i.ID); return nil }, nil
	}},
	{"an instance is terminated", func(k *stroke) (lift, error) {
		i, _, err := k.worker()
		if err != nil {
			return nil, err
		}
		_, err = k.ec2().TerminateInstances(k.ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{i.ID}})
		return nil, err
	}},
	{"an instance is stopped", func(k *stroke) (lift, error) {
		i, _, err := k.worker()
		if err != nil {
			return nil, err
		}
		_, err = k.ec2().StopInstances(k.ctx, &ec2.StopInstancesInput{InstanceIds: []string{i.ID}})
		return nil, err
	}},
}

func failing(service string) awssim.Fault {
	return awssim.Fault{Service: service, Principal: site.ControllerRole, Code: "InternalFailure", Status: http.StatusInternalServerError}
}

func inject(f awssim.Fault) func(*stroke) (lift, error) {
	return func(k *stroke) (lift, error) {
		remove := k.World.Inject(f)
		return func(context.Context) error { remove(); return nil }, nil
	}
}
