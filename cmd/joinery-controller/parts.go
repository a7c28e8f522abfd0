package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/instances"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/nodes"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/controlplane/token"
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
	reg    *prometheus.Registry
	log    *slog.Logger
	// progress hears of the rounds of services that have some.
	progress *progress.Board
}

func assemble(s v1alpha1.ControllerSpec, c aws.Config, client kubernetes.Interface, events record.EventRecorder, reg *prometheus.Registry, log *slog.Logger, board *progress.Board) (*parts, error) {
	a := assembly{spec: s, aws: c, client: client, events: events, reg: reg, log: log, progress: board}
	rotator, err := a.rotator()
	if err != nil {
		return nil, err
	}
	known, err := readFacts(s.Autoscaler)
	if err != nil {
		return nil, err
	}
	finder := instances.NewReader(ec2.NewFromConfig(c), autoscaling.NewFromConfig(c))
	janitor := nodes.NewJanitor(nodes.Deps{
		Client: client, Finder: finder, Events: events, Registry: reg, Log: log,
	}, nodes.Options{Cluster: s.Cluster})
	p := &parts{rotator: rotator, scaler: &scaler{assembly: a, facts: known, removed: janitor.Wake}, services: []leader.Service{
		{Name: "token", Run: rotator.Run},
		{Name: "token-watch", Run: func(ctx context.Context) error { return token.Watch(ctx, client, s.Cluster, rotator.Wake) }},
		{Name: "csr", Run: a.approver(finder, rotator)},
		{Name: "nodes", Run: janitor.Run},
		a.posture(),
	}}
	p.services = append(p.services, a.hooks(finder)...)
	if !s.Autoscaler.Disabled {
		p.services = append(p.services, leader.Service{Name: "autoscaler", Run: p.scaler.run})
	}
	return p, nil
}

func (a assembly) rotator() (*token.Rotator, error) {
	schedule, err := cron.ParseStandard(a.spec.Token.Schedule)
	if err != nil {
		return nil, fmt.Errorf("spec.token.schedule: %w", err)
	}
	store := bundle.NewStore(ssm.NewFromConfig(a.aws), a.spec.Cluster, a.spec.Bundle.Parameter, a.spec.Bundle.KMSKeyID)
	return token.NewRotator(a.spec.Cluster, token.Deps{
		Secrets: a.client.CoreV1().Secrets(metav1.NamespaceSystem),
		Store:   store,
		Source: bundle.Source{
			Name: a.spec.Cluster, Endpoint: a.spec.Endpoint, CAFile: a.spec.CAFile, Version: a.client.Discovery(),
		},
		Observer: beat{token.NewMetrics(a.reg, a.foreignBundle), func() { a.progress.Done("token") }},
		Log:      a.log,
	}, token.Options{
		Schedule: schedule, TTL: a.spec.Token.TTL.Duration, Overlap: a.spec.Token.Overlap.Duration, Recheck: 5 * time.Minute,
	}), nil
}

// foreignBundle warns where operators look that the parameter is somebody
// else's; until that is mended no new token reaches a node.
func (a assembly) foreignBundle(e *bundle.NotOursError) {
	a.events.Event(theLease(), corev1.EventTypeWarning, "ForeignJoinBundle", e.Error())
}

// approver returns a service that makes a new Approver for each run, as an
// Approver runs once.
func (a assembly) approver(finder *instances.Reader, tokens *token.Rotator) func(context.Context) error {
	metrics := csr.NewMetrics(a.reg)
	return func(ctx context.Context) error {
		return csr.NewApprover(csr.Deps{
			Client: a.client, Finder: finder, Tokens: tokens, Events: a.events, Metrics: metrics, Log: a.log,
		}, csr.Policy{
			Cluster: a.spec.Cluster, Region: a.spec.Region, VPC: a.spec.VPCID, Mode: a.spec.Approver.NodeNameMode,
			LaunchWindow: a.spec.Approver.LaunchWindow.Duration, Visible: 2 * time.Minute, MaxGrants: 5, MaxHeld: 100,
		}).Run(ctx)
	}
}
