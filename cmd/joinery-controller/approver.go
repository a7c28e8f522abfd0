package main

import (
	"context"

	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
)

// approver returns a service that makes a new Approver for each run, as an
// Approver runs once.
func (a assembly) approver(finder *awsfleet.Reader, tokens rotators) func(context.Context) error {
	metrics := csr.NewMetrics(a.reg)
	proofs := attest.NewVerifier(a.aws, attest.Options{Cluster: a.spec.Cluster, Proof: a.spec.Approver.Proof, Roles: a.spec.Approver.NodeRoles})
	return func(ctx context.Context) error {
		return csr.NewApprover(csr.Deps{
			Client: a.client, Store: a.store, Finder: finder, Binding: a.binder, Tokens: tokens.join, LegacyTokens: tokens.legacy, Verifier: proofs, Events: a.events, Metrics: metrics, Meter: a.meter, Log: a.log,
			Alive: func() { a.progress.Done("csr") },
		}, csr.PolicyOf(a.spec)).Run(ctx)
	}
}
