package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/doctor"
	"github.com/joinery/joinery/controlplane/images"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/fleet/launch"
)

// readConfig reads the ControllerConfig in a file.
func readConfig(file string) (*v1alpha1.ControllerConfig, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	c, err := v1alpha1.DecodeControllerConfig(text)
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", file, err)
	}
	return c, nil
}

// loadAWS finds region and credentials as every AWS tool does; the configuration's
// own region goes first.
func loadAWS(ctx context.Context, s v1alpha1.ControllerSpec) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRegion(s.Region),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(10 * time.Second)),
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err == nil && c.Region == "" {
		// Asked last: off EC2 it takes seconds to learn that no one answers.
		c, err = config.LoadDefaultConfig(ctx, append(options, config.WithEC2IMDSRegion())...)
	}
	if err != nil {
		return aws.Config{}, fmt.Errorf("load AWS config: %w", err)
	}
	if c.Region == "" {
		return aws.Config{}, errors.New("load AWS config: no region: set spec.region or AWS_REGION")
	}
	return c, nil
}

// siteOf returns where the cluster's nodes are, and the rules of its approver.
func siteOf(ctx context.Context, s v1alpha1.ControllerSpec) (doctor.Site, error) {
	c, err := loadAWS(ctx, s)
	if err != nil {
		return doctor.Site{}, err
	}
	vpc := s.VPCID
	if vpc == "" {
		if vpc, err = ownVPC(ctx, c); err != nil {
			return doctor.Site{}, fmt.Errorf("spec.vpcID is empty and IMDS does not say it: set it, or run this on a control-plane node: %w", err)
		}
	}
	p := csr.PolicyOf(s)
	p.Region, p.VPC = c.Region, vpc
	instances := ec2.NewFromConfig(c)
	reader := awsfleet.New(awsfleet.Options{EC2: instances, AutoScaling: autoscaling.NewFromConfig(c), Scope: fleet.ScopeOf(s)})
	return doctor.Site{Policy: p, Fleet: reader, Images: images.Looker{Fleet: reader, Templates: launch.NewTemplates(instances), EC2: instances}}, nil
}

// ownVPC asks for the VPC of the primary interface of this computer.
func ownVPC(ctx context.Context, c aws.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return awsfleet.OwnVPC(ctx, imds.NewFromConfig(c))
}
