package main

import (
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/controlplane/instances"
	"github.com/joinery/joinery/controlplane/labels"
	"github.com/joinery/joinery/controlplane/leader"
)

// labels returns the service that sets the labels which a kubelet may not.
func (a assembly) labels(finder *instances.Reader) leader.Service {
	return leader.Service{Name: "labels", Run: labels.NewLabeler(labels.Deps{
		Client: a.client, Finder: finder, Declarations: asg.NewDeclarations(ec2.NewFromConfig(a.aws), a.spec.Cluster),
		Events: a.events, Registry: a.reg, Log: a.log,
	}, labels.Policy{Cluster: a.spec.Cluster, Region: a.spec.Region, VPC: a.spec.VPCID, Mode: a.spec.Approver.NodeNameMode}).Run}
}
