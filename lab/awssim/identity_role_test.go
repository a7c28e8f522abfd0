package awssim_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/joinery/joinery/lab/awssim"
)

const identityPath = "identity-credentials/ec2/security-credentials/ec2-instance"

// identityConfig is the SDK's configuration with an instance's identity role.
func identityConfig(t *testing.T, w *awssim.World, id string) aws.Config {
	t.Helper()
	text, status := read(t, metadata(w, id), identityPath)
	if status != http.StatusOK {
		t.Fatalf("identity credentials: %d", status)
	}
	var c struct{ Code, AccessKeyId, SecretAccessKey, Token string }
	if err := json.Unmarshal([]byte(text), &c); err != nil || c.Code != "Success" {
		t.Fatalf("identity credentials: %q, %v", c.Code, err)
	}
	cfg := w.Config("unused")
	cfg.Credentials = fixed(aws.Credentials{AccessKeyID: c.AccessKeyId, SecretAccessKey: c.SecretAccessKey, SessionToken: c.Token})
	cfg.RetryMaxAttempts = 1
	return cfg
}

func TestInstanceIdentityNeedsNoProfile(t *testing.T) {
	for region, partition := range map[string]string{"us-west-2": "aws", "cn-north-1": "aws-cn"} {
		w := &awssim.World{Region: region}
		t.Cleanup(w.Close)
		i := add(t, w, awssim.InstanceSpec{})
		out := must(sts.NewFromConfig(identityConfig(t, w, i.ID)).GetCallerIdentity(t.Context(), nil))(t)
		if got, want := aws.ToString(out.Arn), "arn:"+partition+":sts::123456789012:assumed-role/aws:ec2-instance/"+i.ID; got != want {
			t.Errorf("the caller is %s: want %s", got, want)
		}
		if got, want := aws.ToString(out.UserId), "123456789012:aws:ec2-instance:"+i.ID; got != want {
			t.Errorf("the caller's id is %s: want %s", got, want)
		}
	}
}

func TestInstanceIdentityIsServedOrNot(t *testing.T) {
	w, _ := newWorld(t)
	i, other := add(t, w, awssim.InstanceSpec{Role: "node"}), add(t, w, awssim.InstanceSpec{})
	w.SetInstanceIdentity(i.ID, false)
	if _, status := read(t, metadata(w, i.ID), identityPath); status != http.StatusNotFound {
		t.Errorf("turned off for the instance: %d", status)
	}
	if _, status := read(t, metadata(w, i.ID), "iam/security-credentials/node"); status != http.StatusOK {
		t.Errorf("the profile's credentials: %d", status)
	}
	identityConfig(t, w, other.ID)
	w.SetInstanceIdentity(i.ID, true)
	identityConfig(t, w, i.ID)
	old := &awssim.World{NoInstanceIdentity: true}
	t.Cleanup(old.Close)
	if _, status := read(t, metadata(old, add(t, old, awssim.InstanceSpec{}).ID), identityPath); status != http.StatusNotFound {
		t.Errorf("turned off for the world: %d", status)
	}
}

// The identity role is good for nothing but to say who one is, whatever policy is
// attached under its name.
func TestInstanceIdentityIsRefusedElsewhere(t *testing.T) {
	w, _ := newWorld(t)
	i := add(t, w, awssim.InstanceSpec{Role: "node"})
	w.TrustRole("node", "aws:ec2-instance")
	cfg := identityConfig(t, w, i.ID)
	for name, call := range map[string]func() error{
		"ssm": func() error {
			_, err := ssm.NewFromConfig(cfg).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/joinery/demo/join")})
			return err
		},
		"kms": func() error {
			_, err := kms.NewFromConfig(cfg).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/x")})
			return err
		},
		"ec2": func() error {
			_, err := ec2.NewFromConfig(cfg).DescribeInstances(t.Context(), nil)
			return err
		},
		"autoscaling": func() error {
			_, err := autoscaling.NewFromConfig(cfg).DescribeAutoScalingGroups(t.Context(), nil)
			return err
		},
		"sqs": func() error {
			_, err := sqs.NewFromConfig(cfg).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
			return err
		},
		"sts": func() error {
			_, err := sts.NewFromConfig(cfg).AssumeRole(t.Context(), &sts.AssumeRoleInput{
				RoleArn: aws.String("arn:aws:iam::123456789012:role/node"), RoleSessionName: aws.String(i.ID),
			})
			return err
		},
	} {
		var e smithy.APIError
		if err := call(); !errors.As(err, &e) || !slices.Contains([]string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}, e.ErrorCode()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAssumeRole(t *testing.T) {
	w, _ := newWorld(t)
	w.TrustRole("node", "deployer")
	if err := w.AttachPolicy("reader", `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}]}`); err != nil {
		t.Fatal(err)
	}
	w.TrustRole("node", "reader")
	for _, test := range []struct{ by, role, session, want string }{
		{"deployer", "role/node", "i-0123456789abcdef0", ""},
		{"deployer", "role/service/node", "x", "ValidationError"},
		{"deployer", "role/service/node", "xy", ""},
		{"deployer", "role/aws:ec2-instance", "i-0123456789abcdef0", "ValidationError"},
		{"deployer", "role/node", "aws:ec2-instance", "ValidationError"},
		{"deployer", "role/node", "a/i-0123456789abcdef0", "ValidationError"},
		{"deployer", "role/other", "xy", "AccessDenied"},
		{"stranger", "role/node", "xy", "AccessDenied"},
		{"reader", "role/node", "xy", "AccessDenied"},
		{"node", "role/node", "xy", "AccessDenied"},
	} {
		cfg := w.Config(test.by)
		out, err := sts.NewFromConfig(cfg).AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws:iam::123456789012:" + test.role), RoleSessionName: aws.String(test.session),
		})
		var e smithy.APIError
		if test.want != "" {
			if !errors.As(err, &e) || e.ErrorCode() != test.want {
				t.Errorf("%+v: %v", test, err)
			}
			continue
		}
		if err != nil || !out.Credentials.Expiration.After(time.Now().Add(50*time.Minute)) {
			t.Errorf("%+v: %v", test, err)
			continue
		}
		c := out.Credentials
		cfg.Credentials = fixed(aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken})
		who := must(sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil))(t)
		if want := "arn:aws:sts::123456789012:assumed-role/node/" + test.session; *who.Arn != want || *out.AssumedRoleUser.Arn != want || *who.UserId != *out.AssumedRoleUser.AssumedRoleId {
			t.Errorf("%+v: the caller is %s %s: want %s", test, *who.Arn, *who.UserId, want)
		}
	}
}
