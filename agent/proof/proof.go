// Package proof lets an instance prove who it is: it signs a request to STS with
// the credentials of one of the instance's roles, whose session is named after
// the instance, and lets others send it. The signature covers what the proof is
// for.
package proof

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Signer makes proofs with an instance's credentials.
type Signer struct{ client *sts.PresignClient }

// NewSigner returns a signer for the credentials and the region of c.
func NewSigner(c aws.Config) *Signer {
	return &Signer{client: sts.NewPresignClient(sts.NewFromConfig(c))}
}

// Prove returns a proof for a certificate request of a cluster, for the
// annotation v1alpha1.STSProofAnnotation. Nothing is sent anywhere: signing needs
// the instance's credentials and no answer from STS.
func (s *Signer) Prove(ctx context.Context, cluster string, request []byte) (string, error) {
	options := []func(*sts.Options){sts.WithAPIOptions(
		smithyhttp.SetHeaderValue("X-Amz-Expires", strconv.Itoa(int(v1alpha1.MaxProofAge.Seconds()))))}
	for name, value := range v1alpha1.ProofHeaders(cluster, request) {
		options = append(options, sts.WithAPIOptions(smithyhttp.SetHeaderValue(name, value)))
	}
	out, err := s.client.PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{},
		func(o *sts.PresignOptions) { o.ClientOptions = append(o.ClientOptions, options...) })
	if err != nil {
		return "", fmt.Errorf("prove identity: %w", err)
	}
	if out.Method != http.MethodGet || len(out.URL) > v1alpha1.MaxProofBytes {
		return "", fmt.Errorf("prove identity: a %s request of %d bytes: expected a GET of at most %d", out.Method, len(out.URL), v1alpha1.MaxProofBytes)
	}
	return out.URL, nil
}
