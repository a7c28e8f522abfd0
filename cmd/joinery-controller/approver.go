package main

import (
	"context"
	"time"

	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/instances"
)

// approver returns a service that makes a new Approver for each run, as an
// Approver runs once.
func (a assembly) approver(finder *instances.Reader, tokens rotators) func(context.Context) error {
	metrics := csr.NewMetrics(a.reg)
	proofs := attest.NewVerifier(a.aws, attest.Options{Cluster: a.spec.Cluster, Roles: a.spec.Approver.NodeRoles})
	return func(ctx context.Context) error {
		return csr.NewApprover(csr.Deps{
			Client: a.client, Finder: finder, Tokens: tokens.join, LegacyTokens: tokens.legacy, Verifier: proofs, Events: a.events, Metrics: metrics, Log: a.log,
			Alive: func() { a.progress.Done("csr") },
		}, csr.Policy{
			Cluster: a.spec.Cluster, Region: a.spec.Region, VPC: a.spec.VPCID, Mode: a.spec.Approver.NodeNameMode,
			Proof: a.spec.Approver.STSProof, ServingDisabled: a.spec.Approver.ServingDisabled,
			LaunchWindow: a.spec.Approver.LaunchWindow.Duration, Visible: 2 * time.Minute, MaxGrants: 5, MaxHeld: 100, MaxHeldByNode: 5,
		}).Run(ctx)
	}
}
