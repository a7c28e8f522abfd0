package site

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
)

// Published returns the join bundle that is in SSM now.
func (s *Site) Published(ctx context.Context) (*v1alpha1.JoinBundle, error) {
	out, err := ssm.NewFromConfig(s.World.Config(awssim.Oracle)).GetParameter(ctx, &ssm.GetParameterInput{
		Name: aws.String(v1alpha1.ParameterName(s.o.Cluster)), WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read join bundle: %w", err)
	}
	return v1alpha1.DecodeJoinBundle([]byte(aws.ToString(out.Parameter.Value)))
}
