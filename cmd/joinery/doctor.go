package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/spf13/cobra"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/doctor"
	"github.com/joinery/joinery/internal/version"
)

const doctorLong = `Say what makes Joinery unsafe in this cluster or keeps nodes from joining, why
that matters, and the command that mends it.

With --config, that of a control-plane node, the settings about proofs of identity,
the published join bundle, the next renewal of every node's certificate and the
versions in the groups' images are looked at too. That takes AWS credentials with
the rights of joinery iam operator, as the AWS SDK finds them.

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
	c := doctor.Cluster{Client: client, Version: version.Version()}
	if file == "" {
		return c, nil
	}
	decoded, err := readConfig(file)
	if err != nil {
		return c, err
	}
	c.Name, c.Kubeconfig, c.Approver = decoded.Spec.Cluster, decoded.Spec.Kubeconfig, &decoded.Spec.Approver
	c.Site = func(ctx context.Context) (doctor.Site, error) { return siteOf(ctx, decoded.Spec) }
	if c.Published, err = published(ctx, decoded.Spec); err != nil {
		return c, err
	}
	return c, nil
}

func published(ctx context.Context, s v1alpha1.ControllerSpec) (*doctor.Published, error) {
	c, err := loadAWS(ctx, s)
	if err != nil {
		return nil, err
	}
	return &doctor.Published{Parameters: ssm.NewFromConfig(c), Name: s.Bundle.Parameter}, nil
}
