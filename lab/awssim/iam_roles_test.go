package awssim_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/joinery/joinery/lab/awssim"
)

const (
	temporary = "packer-1"
	looking   = `{"Version":"2012-10-17","Statement":{"Sid":"Look","Effect":"Allow","Action":"ec2:DescribeInstances","Resource":"*"}}`
)

// identity is a client of IAM, signed for the region of its one endpoint.
func identity(w *awssim.World, role string) *iam.Client {
	cfg := w.Config(role)
	cfg.Region, cfg.RetryMaxAttempts = "us-east-1", 1
	return iam.NewFromConfig(cfg)
}

func runWithProfile(w *awssim.World, profile string) *ec2.RunInstancesInput {
	in := launch(w, awssim.DefaultImageID)
	in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: &profile}
	return in
}

func TestTemporaryInstanceProfile(t *testing.T) {
	w, c := newWorld(t)
	i := identity(w, "operator")
	ctx := t.Context()
	dry := runWithProfile(w, temporary)
	dry.DryRun = aws.Bool(true)
	_, err := c.ec2.RunInstances(ctx, dry)
	wantCode(t, err, "InvalidParameterValue") // what Packer waits for to end
	if err == nil || !strings.Contains(err.Error(), "Invalid IAM Instance Profile") {
		t.Errorf("error %v", err)
	}
	p := must(i.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String(temporary)}))(t)
	if got := aws.ToString(p.InstanceProfile.Arn); got != "arn:aws:iam::123456789012:instance-profile/packer-1" {
		t.Errorf("ARN %s", got)
	}
	must(i.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(temporary), AssumeRolePolicyDocument: aws.String("{}")}))(t)
	must(i.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(temporary)}))(t)
	must(i.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{RoleName: aws.String(temporary), InstanceProfileName: aws.String(temporary)}))(t)
	got := must(i.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String(temporary)}))(t)
	if len(got.InstanceProfile.Roles) != 1 || aws.ToString(got.InstanceProfile.Roles[0].RoleName) != temporary {
		t.Errorf("profile %+v", got.InstanceProfile)
	}
	dry.ClientToken = nil
	_, err = c.ec2.RunInstances(ctx, dry)
	wantCode(t, err, "DryRunOperation")
	made := must(c.ec2.RunInstances(ctx, runWithProfile(w, temporary)))(t).Instances[0]
	if known := must(w.Instance(aws.ToString(made.InstanceId)))(t); known.Role != temporary {
		t.Errorf("instance has role %q", known.Role)
	}
	// A role that was made has only what it is given.
	holder := connect(w, temporary)
	_, err = holder.ec2.DescribeInstances(ctx, nil)
	wantCode(t, err, "UnauthorizedOperation")
	_, err = i.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String(temporary), PolicyName: aws.String(temporary), PolicyDocument: aws.String("{")})
	wantCode(t, err, "MalformedPolicyDocument")
	must(i.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String(temporary), PolicyName: aws.String(temporary), PolicyDocument: aws.String(looking)}))(t)
	must(holder.ec2.DescribeInstances(ctx, nil))(t)
	_, err = holder.ec2.DescribeVolumes(ctx, nil)
	wantCode(t, err, "UnauthorizedOperation")

	for code, make := range map[string]func() error{
		"EntityAlreadyExists": func() error {
			_, err := i.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(temporary), AssumeRolePolicyDocument: aws.String("{}")})
			return err
		},
		"LimitExceeded": func() error {
			_, err := i.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{RoleName: aws.String(temporary), InstanceProfileName: aws.String(temporary)})
			return err
		},
		"DeleteConflict": func() error {
			_, err := i.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String(temporary)})
			return err
		},
		"NoSuchEntity": func() error {
			_, err := i.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String("none")})
			return err
		},
	} {
		wantCode(t, make(), code)
	}
	must(i.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{RoleName: aws.String(temporary), InstanceProfileName: aws.String(temporary)}))(t)
	must(i.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String(temporary), PolicyName: aws.String(temporary)}))(t)
	must(i.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String(temporary)}))(t)
	must(i.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: aws.String(temporary)}))(t)
	_, err = holder.ec2.DescribeInstances(ctx, nil)
	wantCode(t, err, "UnauthorizedOperation") // credentials of a deleted role are worth nothing
}
