package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/images"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/nodes"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/fleet/launch"
	"github.com/joinery/joinery/internal/observe"
)

// parts are what the leader runs.
type parts struct {
	services []leader.Service
	rotator  *token.Rotator
	scaler   *scaler
}

// assembly is what every part is made from.
type assembly struct {
	spec   v1alpha1.ControllerSpec
	aws    aws.Config
	client kubernetes.Interface
	events record.EventRecorder
	reg    prometheus.Registerer
	log    *slog.Logger
	// confirm says whether this process leads, by asking and not by remembering.
	confirm func(context.Context) error
	// store has the Nodes, Pods and requests, binder says which instance a Node is,
	// meter counts the rounds of services: all of them share these.
	store  *observe.Store
	binder *binder.Binder
	meter  *drive.Meter
	// progress hears of the rounds of services that have some.
	progress *progress.Board
}

func assemble(s v1alpha1.ControllerSpec, c aws.Config, client kubernetes.Interface, events record.EventRecorder, reg prometheus.Registerer, log *slog.Logger, board *progress.Board, confirm func(context.Context) error) (*parts, error) {
	a := assembly{spec: s, aws: c, client: client, events: events, reg: reg, log: log, progress: board, confirm: confirm}
	tokens, err := a.rotators()
	if err != nil {
		return nil, err
	}
	known, err := readFacts(s.Autoscaler)
	if err != nil {
		return nil, err
	}
	instances := ec2.NewFromConfig(c)
	reader := awsfleet.New(awsfleet.Options{EC2: instances, AutoScaling: autoscaling.NewFromConfig(c), Scope: fleet.ScopeOf(s)})
	templates := launch.NewTemplates(instances)
	a.store, a.meter = observe.NewStore(client), drive.NewMeter(reg)
	a.binder = binder.New(binder.Options{
		Nodes: a.store.AllNodes, Client: client, Fleet: reader, Adopted: binder.ConfigMap(client), Log: log,
		Rules: binding.Rules{Cluster: s.Cluster, Region: s.Region, VPC: s.VPCID, Mode: s.Approver.NodeNameMode},
	})
	janitor := nodes.NewJanitor(nodes.Deps{
		Client: client, Store: a.store, Binding: a.binder, Groups: reader, Events: events, Registry: reg, Meter: a.meter, Log: log,
	}, nodes.Options{Cluster: s.Cluster})
	hooks, wakeHooks := a.hooks(reader, func(instances ...string) {
		if ours := janitor.Ended(instances...); len(ours) > 0 {
			reader.Changed(ours...)
		}
	})
	removed := func() {
		janitor.Wake()
		wakeHooks()
	}
	p := &parts{rotator: tokens.join, scaler: &scaler{assembly: a, facts: known, fleet: reader, templates: templates, removed: removed}, services: []leader.Service{
		{Name: "csr", Run: a.approver(reader, tokens)},
		{Name: "nodes", Run: janitor.Run},
		a.posture(),
		a.images(images.Looker{Fleet: reader, Templates: templates, EC2: instances}),
	}}
	p.services = append(p.services, a.labels(reader, templates))
	p.services = append(p.services, hooks...)
	p.services = append(p.services, a.tokenServices(tokens)...)
	if !s.Autoscaler.Disabled {
		p.services = append(p.services, leader.Service{Name: "autoscaler", Run: p.scaler.run})
	}
	return p, nil
}
