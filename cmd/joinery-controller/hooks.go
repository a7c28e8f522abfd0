package main

import (
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"github.com/joinery/joinery/controlplane/hooks"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
)

// hooks returns the service that completes lifecycle hooks, none when they are
// left to others, and what to call when an instance began to end. Ended is called with
// instances that EC2 is said to end.
func (a assembly) hooks(finder *awsfleet.Reader, ended func(instances ...string)) (services []leader.Service, wake func()) {
	if a.spec.Lifecycle.Disabled {
		return nil, func() {}
	}
	loop := hooks.NewLoop(hooks.Deps{
		Client: a.client, Store: a.store, Binding: a.binder, Meter: a.meter, Finder: finder, AutoScaling: autoscaling.NewFromConfig(a.aws), Events: a.events, Registry: a.reg, Log: a.log,
		Looked: func() { a.progress.Done("hooks") },
	}, hooks.Policy{Cluster: a.spec.Cluster, Region: a.spec.Region, Mode: a.spec.Approver.NodeNameMode, Lifecycle: a.spec.Lifecycle})
	return append(a.queue(loop.Told, ended), leader.Service{Name: "hooks", Run: loop.Run}), loop.Wake
}
