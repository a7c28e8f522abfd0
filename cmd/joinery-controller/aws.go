package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
)

// answerTimeout bounds one request to AWS. The SDK's default client has no
// bound, and one answer that never comes would stop the loop that asked.
const answerTimeout = 10 * time.Second

// loadAWS returns the SDK's own configuration: credentials of the instance's
// role, endpoints from the environment. Region and VPC that the spec leaves
// open are those of this master, by the instance metadata service, and are
// filled in.
func loadAWS(ctx context.Context, s *v1alpha1.ControllerSpec) (aws.Config, error) {
	// As in the agent: IMDSv1 answers whoever gets this host to send a request. The SDK's
	// own variable is the one setting that its credentials heed too.
	if err := os.Setenv("AWS_EC2_METADATA_V1_DISABLED", "true"); err != nil {
		return aws.Config{}, fmt.Errorf("turn IMDSv1 off: %w", err)
	}
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(s.Region),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(answerTimeout)))
	if err != nil {
		return aws.Config{}, fmt.Errorf("load AWS config: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	meta := imds.NewFromConfig(c)
	if s.Region == "" {
		out, err := meta.GetRegion(ctx, nil)
		if err != nil {
			return aws.Config{}, fmt.Errorf("spec.region is empty and IMDS does not say it: %w", err)
		}
		s.Region, c.Region = out.Region, out.Region
	}
	if s.VPCID == "" {
		if s.VPCID, err = awsfleet.OwnVPC(ctx, meta); err != nil {
			return aws.Config{}, fmt.Errorf("spec.vpcID is empty and IMDS does not say it: %w", err)
		}
	}
	return c, nil
}
