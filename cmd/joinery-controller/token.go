package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/robfig/cron/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"

	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/rotation"
	"github.com/joinery/joinery/controlplane/token"
)

// recheck is how often SSM is read, as nothing tells us that it was written: a
// bundle that somebody spoiled is mended within that time.
const recheck = time.Minute

// rotators keep the tokens published.
type rotators struct {
	join *token.Rotator
	// legacy is of the token for old user data. While there is none it only
	// knows and deletes what is left of an earlier configuration.
	legacy *token.Rotator
}

func (a assembly) rotators() (rotators, error) {
	schedule, err := cron.ParseStandard(a.spec.Token.Schedule)
	if err != nil {
		return rotators{}, fmt.Errorf("spec.token.schedule: %w", err)
	}
	client, key := ssm.NewFromConfig(a.aws), a.spec.Bundle.KMSKeyID
	options := token.Options{
		Schedule: schedule, Jitter: a.spec.Token.Jitter.Duration, TTL: a.spec.Token.TTL.Duration,
		Overlap: a.spec.Token.Overlap.Duration, Recheck: recheck,
	}
	deps := token.Deps{
		Secrets: a.client.CoreV1().Secrets(metav1.NamespaceSystem),
		Store:   bundle.NewStore(client, a.spec.Cluster, a.spec.Bundle.Parameter, key),
		Source: bundle.Source{
			Name: a.spec.Cluster, Endpoint: a.spec.Endpoint, CAFile: a.spec.CAFile, Version: discovery.ToDiscoveryInterfaceWithContext(a.client.Discovery()),
			Public: a.client.CoreV1().ConfigMaps(metav1.NamespacePublic), System: a.client.CoreV1().ConfigMaps(metav1.NamespaceSystem),
		},
		Confirm: a.confirm, Log: a.log,
		Observer: beat{token.NewMetrics(a.reg, token.Join, a.warn), func() { a.progress.Done("token") }},
	}
	deps.Meter = a.meter
	r := rotators{join: token.NewRotator(a.spec.Cluster, deps, options)}
	deps.Purpose = token.Legacy
	deps.Store = bundle.NewBareStore(client, a.spec.Cluster, a.spec.Bundle.LegacyTokenParameter, key)
	deps.Observer = token.NewMetrics(a.reg, token.Legacy, a.warn)
	r.legacy = token.NewRotator(a.spec.Cluster, deps, options)
	return r, nil
}

// tokenServices keep tokens published, and answer who asks for another.
func (a assembly) tokenServices(r rotators) []leader.Service {
	desk := &rotation.Desk{Client: a.client, Meter: a.meter, Rotator: r.join, Confirm: a.confirm, Log: a.log.With("part", "rotation")}
	legacy, watched := r.legacy.Retire, []token.Purpose{token.Join}
	if a.spec.Bundle.LegacyTokenParameter != "" {
		legacy, watched = r.legacy.Run, append(watched, token.Legacy)
	}
	changed := func() {
		r.join.Wake()
		r.legacy.Wake()
	}
	return []leader.Service{
		{Name: "token", Run: r.join.Run},
		{Name: "token-watch", Run: func(ctx context.Context) error { return token.Watch(ctx, a.client, changed, watched...) }},
		{Name: "token-requests", Run: desk.Run},
		{Name: "token-legacy", Run: legacy},
	}
}

// warn tells operators where they look what only they can mend; until then no
// new token reaches a node.
func (a assembly) warn(reason string, err error) {
	a.events.Event(theLease(), corev1.EventTypeWarning, reason, err.Error())
}
