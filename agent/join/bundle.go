package join

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/joinery/joinery/api/v1alpha1"
)

// parameterGetter is the part of an SSM client that a node may use.
type parameterGetter interface {
	GetParameter(ctx context.Context, in *ssm.GetParameterInput, opts ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// NotPublishedError says that the parameter does not exist: the masters have
// not published a bundle yet, or the parameter is named otherwise.
type NotPublishedError struct{ Parameter string }

// Error names the parameter.
func (e *NotPublishedError) Error() string {
	return fmt.Sprintf("join bundle %s: the parameter does not exist: has the cluster's controller published it?", e.Parameter)
}

// RefusedError says that AWS does not let this instance read the bundle, which
// only an operator can cure.
type RefusedError struct {
	Parameter, Code string
	Err             error
}

// Error names the parameter and what AWS says.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("join bundle %s: the instance's role may not read it (%s): %v", e.Parameter, e.Code, e.Err)
}

// Unwrap returns what AWS says.
func (e *RefusedError) Unwrap() error { return e.Err }

// Slow says that to ask again soon is of no use.
func (e *RefusedError) Slow() bool { return true }

// BundleError says that what is published is no bundle that this node may use.
type BundleError struct {
	Parameter string
	// Err is *v1alpha1.InvalidError, *v1alpha1.VersionError,
	// *v1alpha1.OtherClusterError or *v1alpha1.ExpiredError.
	Err error
}

// Error names the parameter and what is wrong with the bundle.
func (e *BundleError) Error() string {
	return fmt.Sprintf("join bundle %s: %v", e.Parameter, e.Err)
}

// Unwrap returns what is wrong with the bundle.
func (e *BundleError) Unwrap() error { return e.Err }

// refusals are the error codes of SSM and KMS that say no for good.
var refusals = map[string]bool{
	"AccessDeniedException": true, "InvalidKeyId": true, "UnrecognizedClientException": true, "ValidationException": true,
}

// FetchBundle reads the join bundle of a node's cluster and refuses one that
// may not be used now. Errors are *NotPublishedError, *RefusedError,
// *BundleError and those of a service that does not answer.
func FetchBundle(ctx context.Context, client parameterGetter, spec v1alpha1.NodeConfigSpec, now time.Time) (*v1alpha1.JoinBundle, error) {
	out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(spec.Parameter), WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, fetchError(spec.Parameter, err)
	}
	b, err := v1alpha1.DecodeJoinBundle([]byte(aws.ToString(out.Parameter.Value)))
	if err == nil {
		err = b.Usable(spec.Cluster, now)
	}
	if err != nil {
		return nil, &BundleError{Parameter: spec.Parameter, Err: err}
	}
	return b, nil
}

func fetchError(parameter string, err error) error {
	var missing *types.ParameterNotFound
	if errors.As(err, &missing) {
		return &NotPublishedError{Parameter: parameter}
	}
	var api smithy.APIError
	if errors.As(err, &api) && refusals[api.ErrorCode()] {
		return &RefusedError{Parameter: parameter, Code: api.ErrorCode(), Err: err}
	}
	return fmt.Errorf("read join bundle %s: %w", parameter, err)
}
