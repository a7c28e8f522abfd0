package main

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/spf13/cobra"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/release"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
)

const releaseLong = `Take an Auto Scaling group back from Joinery. Its nodes stay in the cluster, and
their certificates are renewed as before. Removed are the tag joinery:cluster of the
group, Joinery's lifecycle hooks, the protection of its instances from scale-in unless
the group protects new ones itself, and the marks of scale-down on its Nodes. Then the
group is watched until it has stayed so for 15 s.

From then on Joinery does not size the group, and instances that it launches are not
joined. The discovery tags of Cluster Autoscaler stay, for a Cluster Autoscaler.

With --leave they go too, and the instances lose the tag joinery:cluster: Joinery does
not renew the certificates of their kubelets any more. That is for uninstalling.

It refuses a group that spec.autoscaler.groups names, where --config is given, and one
with instances that a lifecycle hook holds. Running it again goes on where a failure
ended it. It takes the rights of joinery iam operator, with --leave an administrator's.

Exit codes: 0 the group is released; 1 it is not, or not whole; 2 the command was
misused.`

func releaseCommand(k *kubeconfig) *cobra.Command {
	var file, name string
	var o release.Options
	cmd := &cobra.Command{
		Use: "release GROUP", Short: "Take an Auto Scaling group back from Joinery", Long: releaseLong, Args: cobra.ExactArgs(1),
		Example: "  joinery release prod-workers --cluster prod --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := releasedFrom(file, name)
			if err != nil {
				return err
			}
			o.Group = args[0]
			if err := connectRelease(cmd.Context(), k, spec, &o); err != nil {
				return err
			}
			lines, err := release.Run(cmd.Context(), o)
			if failed := writeRemoved(cmd.OutOrStdout(), lines, o.DryRun); failed != nil {
				return failed
			}
			if err != nil {
				return &exitError{exitFound, err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "the ControllerConfig of the cluster")
	f.StringVar(&name, "cluster", "", "the cluster's name, without --config")
	f.BoolVar(&o.DryRun, "dry-run", false, "change nothing; print what would be removed")
	f.BoolVar(&o.Leave, "leave", false, "take the discovery tags and the tags of the instances too")
	f.BoolVar(&o.Force, "force", false, "release the group while a lifecycle hook holds instances: those that start are ended, those that terminate are not drained")
	return cmd
}

// releasedFrom is the configuration of the cluster: that of the file, or the defaults for
// a name.
func releasedFrom(file, name string) (v1alpha1.ControllerSpec, error) {
	switch {
	case (file == "") == (name == ""):
		return v1alpha1.ControllerSpec{}, errors.New("expected either --config or --cluster")
	case file == "":
		spec := v1alpha1.ControllerSpec{Cluster: name}
		spec.Lifecycle.SetDefaults()
		return spec, nil
	}
	c, err := readConfig(file)
	if err != nil {
		return v1alpha1.ControllerSpec{}, err
	}
	return c.Spec, nil
}

func connectRelease(ctx context.Context, k *kubeconfig, s v1alpha1.ControllerSpec, o *release.Options) (err error) {
	if o.Client, err = k.connect(); err != nil {
		return err
	}
	c, err := loadAWS(ctx, s)
	if err != nil {
		return err
	}
	o.Cluster, o.Hooks = s.Cluster, []string{s.Lifecycle.LaunchHook, s.Lifecycle.TerminateHook}
	o.EC2, o.AutoScaling = ec2.NewFromConfig(c), autoscaling.NewFromConfig(c)
	o.Fleet = awsfleet.New(awsfleet.Options{EC2: o.EC2, AutoScaling: o.AutoScaling, Scope: fleet.ScopeOf(s)})
	return nil
}
