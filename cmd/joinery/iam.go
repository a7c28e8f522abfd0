package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/joinery/joinery/deploy/iam"
)

const iamLong = `Print one of the AWS policies for a cluster, or without a name the list of them.
Nothing is asked of AWS or of the cluster. deploy/iam/README.md has the reason for
each permission.`

func iamCommand() *cobra.Command {
	var v iam.Values
	cmd := &cobra.Command{
		Use: "iam [DOCUMENT]", Short: "Print the AWS policies for a cluster", Long: iamLong, Args: cobra.MaximumNArgs(1),
		Example: `  joinery iam node --cluster prod --region us-west-2 --account 123456789012 \
    --kms-key-arn arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listPolicies(cmd.OutOrStdout())
			}
			text, err := iam.Render(args[0], v)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.Cluster, "cluster", "", "the cluster's name")
	f.StringVar(&v.Region, "region", "", "the cluster's region")
	f.StringVar(&v.Partition, "partition", "", "aws, aws-cn or aws-us-gov; that of the region when empty")
	f.StringVar(&v.Account, "account", "", "the number of the AWS account")
	f.StringVar(&v.KMSKeyARN, "kms-key-arn", "", "the key of the join bundle; for packer-key, that of the images")
	f.StringVar(&v.Group, "group", "", "the name of an Auto Scaling group that spec.autoscaler.groups names")
	f.StringVar(&v.Queue, "queue", "", "the name of the queue of lifecycle events")
	f.StringVar(&v.Parameter, "parameter", "", "the parameter with the token for legacy user data")
	return cmd
}

func listPolicies(w io.Writer) error {
	for _, d := range iam.Documents() {
		if _, err := fmt.Fprintf(w, "%-18s %s\n", d.Name, d.For); err != nil {
			return err
		}
	}
	return nil
}
