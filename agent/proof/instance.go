package proof

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/api/v1alpha1"
)

// metadata is the part of imds.Client that Instance uses.
type metadata interface {
	InstanceIdentity(context.Context) (imds.Credentials, error)
}

// Instance makes proofs for the instance that it runs on, with the best
// credentials that EC2 gives to it:
//   - those of its instance identity role, which no one can assume,
//   - where there are none, those of its instance profile's role.
//
// It is for one caller at a time.
type Instance struct {
	config   aws.Config
	metadata metadata
	log      *slog.Logger
	// last is the kind of the last proof, avoided the kind not to use next.
	last, avoided v1alpha1.ProofKind
}

// NewInstance returns a prover. The credentials of c are those of the instance
// profile's role.
func NewInstance(c aws.Config, m metadata, log *slog.Logger) *Instance {
	return &Instance{config: c, metadata: m, log: log}
}

// Prove returns a proof as Signer.Prove does. It asks the metadata service each
// time: credentials end, and a join is tried again until it succeeds.
//
// Credentials that are not there yet are an error and no reason for the weaker
// proof: it could be refused, and the next attempt has the better one.
func (p *Instance) Prove(ctx context.Context, cluster string, request []byte) (string, error) {
	config, kind, err := p.choose(ctx)
	if err != nil {
		return "", fmt.Errorf("prove identity: %w", err)
	}
	p.last = kind
	p.log.Info("signing proof of identity", "proof", kind)
	return NewSigner(config).Prove(ctx, cluster, request)
}

// Doubt has the next proof be of the other kind: AWS may serve an identity that
// STS does not accept, and the cluster may accept one kind alone.
func (p *Instance) Doubt() { p.avoided = p.last }

// choose returns the credentials to sign with.
func (p *Instance) choose(ctx context.Context) (aws.Config, v1alpha1.ProofKind, error) {
	config := p.config.Copy()
	if p.avoided == v1alpha1.ProofInstanceIdentity {
		return config, v1alpha1.ProofNodeRole, nil
	}
	c, err := p.metadata.InstanceIdentity(ctx)
	var invalid *imds.InvalidError
	switch {
	case err == nil:
		config.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey.Reveal(), c.SessionToken.Reveal())
		return config, v1alpha1.ProofInstanceIdentity, nil
	case errors.Is(err, imds.ErrAbsent):
		return config, v1alpha1.ProofNodeRole, nil
	case errors.As(err, &invalid):
		p.log.Warn("instance identity credentials are not usable", "error", err)
		return config, v1alpha1.ProofNodeRole, nil
	}
	return config, "", err
}
