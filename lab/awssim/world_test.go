package awssim_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/joinery/joinery/lab/awssim"
)

// clients are the real SDK's clients for one role.
type clients struct {
	ssm *ssm.Client
	kms *kms.Client
	sts *sts.Client
	ec2 *ec2.Client
	asg *autoscaling.Client
}

// connect returns clients that do not retry, so that each test sees what the
// service said.
func connect(w *awssim.World, role string) clients {
	cfg := w.Config(role)
	cfg.RetryMaxAttempts = 1
	return clients{ssm.NewFromConfig(cfg), kms.NewFromConfig(cfg), sts.NewFromConfig(cfg), ec2.NewFromConfig(cfg), autoscaling.NewFromConfig(cfg)}
}

// newWorld is a world that ends with the test.
func newWorld(t *testing.T) (*awssim.World, clients) {
	t.Helper()
	w := &awssim.World{}
	t.Cleanup(w.Close)
	return w, connect(w, "controller")
}

// wantCode fails unless err is the API error of that code.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	switch {
	case code == "" && err != nil:
		t.Fatalf("error %v, want none", err)
	case code == "":
	case !errors.As(err, &api):
		t.Fatalf("error %v, want API error %s", err, code)
	case api.ErrorCode() != code:
		t.Fatalf("error code %s (%s), want %s", api.ErrorCode(), api.ErrorMessage(), code)
	}
}

// must unwraps a result that a test relies on.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestCallerIdentity(t *testing.T) {
	w, c := newWorld(t)
	out := must(c.sts.GetCallerIdentity(t.Context(), nil))(t)
	if got, want := aws.ToString(out.Arn), "arn:aws:sts::123456789012:assumed-role/controller/lab"; got != want {
		t.Errorf("Arn %s, want %s", got, want)
	}
	if got := aws.ToString(out.Account); got != "123456789012" {
		t.Errorf("Account %s", got)
	}
	calls := w.Calls()
	if len(calls) != 1 || calls[0].Service != "sts" || calls[0].Action != "GetCallerIdentity" || calls[0].Principal != "controller" {
		t.Errorf("call log %+v", calls)
	}
}

func TestSignatureIsChecked(t *testing.T) {
	w, _ := newWorld(t)
	good := w.Credentials("controller")
	tests := []struct {
		name           string
		change         func(*aws.Credentials)
		region         string
		ssm, asg, ec2s string
	}{
		{"wrong secret", func(c *aws.Credentials) { c.SecretAccessKey = "x" }, "us-west-2", "InvalidSignatureException", "SignatureDoesNotMatch", "SignatureDoesNotMatch"},
		{"wrong token", func(c *aws.Credentials) { c.SessionToken = "x" }, "us-west-2", "UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure"},
		{"unknown key", func(c *aws.Credentials) { c.AccessKeyID = "AKIAX" }, "us-west-2", "UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure"},
		{"other region", func(*aws.Credentials) {}, "eu-west-1", "InvalidSignatureException", "SignatureDoesNotMatch", "SignatureDoesNotMatch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			creds := good
			tt.change(&creds)
			cfg := w.Config("controller")
			cfg.Region = tt.region
			cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return creds, nil })
			_, err := ssm.NewFromConfig(cfg).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/x")})
			wantCode(t, err, tt.ssm)
			_, err = autoscaling.NewFromConfig(cfg).DescribeAutoScalingGroups(t.Context(), nil)
			wantCode(t, err, tt.asg)
			_, err = ec2.NewFromConfig(cfg).DescribeInstances(t.Context(), nil)
			wantCode(t, err, tt.ec2s)
		})
	}
}

// TestErrorsKeepTheirProtocol sends raw requests: unsigned ones, unknown
// actions and unknown versions are answered in the service's own format.
func TestErrorsKeepTheirProtocol(t *testing.T) {
	w, _ := newWorld(t)
	client := &http.Client{Transport: w.Transport()}
	tests := []struct {
		name, target, form string
		status             int
		want               string
	}{
		{"ssm unsigned", "AmazonSSM.GetParameter", "", 400, `"__type":"MissingAuthenticationTokenException"`},
		{"unknown target", "Nobody.GetParameter", "", 400, `"__type":"UnknownOperationException"`},
		{"ec2 unsigned", "", "Action=DescribeInstances&Version=2016-11-15", 403, "<Errors><Error><Code>MissingAuthenticationToken</Code>"},
		{"sts unsigned", "", "Action=GetCallerIdentity&Version=2011-06-15", 403, "<Code>MissingAuthenticationToken</Code>"},
		{"unknown version", "", "Action=GetCallerIdentity&Version=1999-01-01", 400, "<Code>InvalidAction</Code>"},
		{"no action", "", "Version=2011-06-15", 400, "<Code>MissingAction</Code>"},
		{"broken form", "", "Action=%zz", 400, "<Code>MalformedQueryString</Code>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, "http://awssim.invalid/", strings.NewReader(tt.form)))(t)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if tt.target != "" {
				req.Header.Set("X-Amz-Target", tt.target)
			}
			resp := must(client.Do(req))(t)
			body := must(io.ReadAll(resp.Body))(t)
			if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
				t.Errorf("status %d body %s, want %d with %s", resp.StatusCode, body, tt.status, tt.want)
			}
			if resp.Header.Get("X-Amzn-Requestid") == "" {
				t.Error("no request id")
			}
		})
	}
}

func TestUnknownActionAndParameter(t *testing.T) {
	_, c := newWorld(t)
	_, err := c.ssm.DescribePatchGroups(t.Context(), nil)
	wantCode(t, err, "UnknownOperationException")
	_, err = c.ec2.DescribeVpcEndpoints(t.Context(), nil)
	wantCode(t, err, "InvalidAction")
	_, err = c.asg.DescribePolicies(t.Context(), nil)
	wantCode(t, err, "InvalidAction")
	// Parameters that are not simulated are refused, not ignored.
	_, err = c.ssm.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/a"), Value: aws.String("v"), Type: "String", AllowedPattern: aws.String("x")})
	wantCode(t, err, "ValidationException")
	_, err = c.asg.CreateAutoScalingGroup(t.Context(), &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: aws.String("g"), MinSize: aws.Int32(0), MaxSize: aws.Int32(1), CapacityRebalance: aws.Bool(true)})
	wantCode(t, err, "UnsupportedOperation")
	_, err = c.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{"i-00000000"}, DryRun: aws.Bool(true)})
	wantCode(t, err, "DryRunOperation")
}
