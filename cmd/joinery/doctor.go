package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/spf13/cobra"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/doctor"
)

const doctorLong = `Say what makes Joinery unsafe in this cluster or keeps nodes from joining, why
that matters, and the command that mends it.

With --config, that of a master, the published join bundle is looked at too. That
takes AWS credentials that may read its parameter, as the AWS SDK finds them.

Exit codes: 0 nothing worse than a warning was found; 1 something is unsafe or
broken; 2 something could not be looked at, and nothing worse was found.`

func doctorCommand(k *kubeconfig) *cobra.Command {
	var file, format string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what is unsafe or broken, and what mends it", Long: doctorLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write := doctor.WriteText
			switch format {
			case "text":
			case "json":
				write = doctor.WriteJSON
			default:
				return fmt.Errorf("--output: %q: expected text or json", format)
			}
			c, err := examined(cmd.Context(), k, file)
			if err != nil {
				return err
			}
			found := doctor.Examine(cmd.Context(), c)
			if err := write(cmd.OutOrStdout(), found); err != nil {
				return err
			}
			return verdict(doctor.Worst(found))
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the ControllerConfig of the cluster, to look at what is published in AWS too")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

// verdict is the exit code for the worst finding.
func verdict(worst doctor.Level) error {
	switch worst {
	case doctor.Unsafe, doctor.Broken:
		return &exitError{code: exitFound}
	case doctor.Unknown:
		return &exitError{code: exitBlind}
	}
	return nil
}

// examined is the cluster of k, and what file says about it.
func examined(ctx context.Context, k *kubeconfig, file string) (doctor.Cluster, error) {
	client, err := k.connect()
	if err != nil {
		return doctor.Cluster{}, err
	}
	c := doctor.Cluster{Client: client}
	if file == "" {
		return c, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return c, fmt.Errorf("read config: %w", err)
	}
	decoded, err := v1alpha1.DecodeControllerConfig(text)
	if err != nil {
		return c, fmt.Errorf("read config %s: %w", file, err)
	}
	c.Name = decoded.Spec.Cluster
	if c.Published, err = published(ctx, decoded.Spec); err != nil {
		return c, err
	}
	return c, nil
}

// published finds region and credentials as every AWS tool does; the
// configuration's own region goes first.
func published(ctx context.Context, s v1alpha1.ControllerSpec) (*doctor.Published, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRegion(s.Region),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(10 * time.Second)),
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err == nil && c.Region == "" {
		// Asked last: off EC2 it takes seconds to learn that nobody answers.
		c, err = config.LoadDefaultConfig(ctx, append(options, config.WithEC2IMDSRegion())...)
	}
	if err != nil {
		return nil, fmt.Errorf("load AWS config: %w", err)
	}
	if c.Region == "" {
		return nil, errors.New("load AWS config: no region: set spec.region or AWS_REGION")
	}
	return &doctor.Published{Parameters: ssm.NewFromConfig(c), Name: s.Bundle.Parameter}, nil
}
