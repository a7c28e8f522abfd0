package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
)

// askTimeout bounds what check-config asks AWS. Off EC2 it takes the SDK seconds to learn
// that there are no credentials.
const askTimeout = 20 * time.Second

// checkNamed asks AWS about the groups that the configuration names. Those that it does
// not know, and those of another cluster, are in one *v1alpha1.InvalidError. Where AWS
// cannot be asked it says so, and finds nothing: names alone make no file invalid.
func checkNamed(ctx context.Context, spec v1alpha1.ControllerSpec, out io.Writer) error {
	if len(spec.Autoscaler.Groups) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	// On an operator's machine IMDS knows no region.
	spec.Region = cmp.Or(spec.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	spec.VPCID = cmp.Or(spec.VPCID, "any") // it decides about instances, and none is asked about
	cfg, err := loadAWS(ctx, &spec)
	if err == nil {
		var problems []v1alpha1.Problem
		if problems, err = unknownNames(ctx, cfg, spec); len(problems) > 0 {
			return &v1alpha1.InvalidError{Kind: v1alpha1.KindControllerConfig, Problems: problems}
		}
	}
	if err != nil {
		_, err = fmt.Fprintf(out, "AWS could not be asked about the groups of spec.autoscaler.groups: %v\n", err)
	}
	return err
}

// unknownNames says what is wrong with the names, in their order.
func unknownNames(ctx context.Context, cfg aws.Config, spec v1alpha1.ControllerSpec) ([]v1alpha1.Problem, error) {
	scope := fleet.ScopeOf(spec)
	scope.DiscoveryOff = true // no other group is of interest
	reader := awsfleet.New(awsfleet.Options{EC2: ec2.NewFromConfig(cfg), AutoScaling: autoscaling.NewFromConfig(cfg), Scope: scope})
	known, _, err := reader.Groups(ctx, 0)
	if err != nil {
		return nil, err
	}
	refusals := map[string]string{}
	for _, name := range reader.Unknown(known) {
		refusals[name] = fmt.Sprintf("expected the name of an Auto Scaling group in region %s", cfg.Region)
	}
	for _, g := range known {
		if why := g.Refusal(spec.Cluster); why != "" {
			refusals[g.Name] = why + fmt.Sprintf(": expected a group of cluster %s, or one without that tag", spec.Cluster)
		}
	}
	var problems []v1alpha1.Problem
	for i, g := range spec.Autoscaler.Groups {
		if why := refusals[g.Name]; why != "" {
			problems = append(problems, v1alpha1.Problem{Field: fmt.Sprintf("spec.autoscaler.groups[%d].name", i), Value: g.Name, Detail: why})
		}
	}
	return problems, nil
}
