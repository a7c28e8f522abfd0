package iam_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/lab/awssim"
)

// The extra policy for old user data reaches its one parameter and no other, by
// the simulated AWS's own judgement.
func TestLegacyPolicyReachesOneParameter(t *testing.T) {
	for _, parameter := range []string{"jointoken", "/prod/jointoken"} {
		text, err := iam.Legacy(values, parameter)
		if err != nil {
			t.Fatal(err)
		}
		w := &awssim.World{}
		t.Cleanup(w.Close)
		if err := w.AttachPolicy("controller", text); err != nil {
			t.Fatal(err)
		}
		api := ssm.NewFromConfig(w.Config("controller"))
		put := func(name string) error {
			_, err := api.PutParameter(t.Context(), &ssm.PutParameterInput{Name: &name, Value: aws.String("x"), Type: types.ParameterTypeString})
			return err
		}
		if err := put(parameter); err != nil {
			t.Errorf("%s: %v", parameter, err)
		}
		for _, other := range []string{parameter + "2", "/joinery/demo/join"} {
			var refused smithy.APIError
			if err := put(other); !errors.As(err, &refused) || refused.ErrorCode() != "AccessDeniedException" {
				t.Errorf("%s with the policy of %s: %v", other, parameter, err)
			}
		}
	}
	if text, err := iam.Legacy(values, "*"); err == nil {
		t.Errorf("rendered %s", text)
	}
}
