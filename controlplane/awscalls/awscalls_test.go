package awscalls_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/controlplane/awscalls"
	"github.com/joinery/joinery/lab/awssim"
)

func TestCallsAreCountedByWhatAWSAnswers(t *testing.T) {
	world := &awssim.World{}
	defer world.Close()
	c, reg := world.Config("controller"), prometheus.NewRegistry()
	c.RetryMaxAttempts = 2
	awscalls.Count(&c, reg)
	parameters, instances := ssm.NewFromConfig(c), ec2.NewFromConfig(c)
	read := func(ctx context.Context) {
		_, _ = parameters.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("a")})
	}
	read(t.Context())
	world.Inject(awssim.Fault{Service: "ssm", Code: awssim.Throttle, Count: 2})
	read(t.Context()) // two attempts are one call
	world.Inject(awssim.Fault{Service: "ssm", LoseAnswer: true, Count: 2})
	read(t.Context())
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	read(canceled)
	if _, err := instances.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{}); err != nil {
		t.Fatal(err)
	}
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range all[0].GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetValue())
		}
		got = append(got, fmt.Sprint(strings.Join(labels, " "), " ", m.GetCounter().GetValue()))
	}
	want := []string{"DescribeInstances ok EC2 1", "GetParameter ParameterNotFound SSM 1", "GetParameter ThrottlingException SSM 1",
		"GetParameter canceled SSM 1", "GetParameter unreachable SSM 1"}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
