// Command joinery-lab runs Joinery's local world: it prepares what the world is
// made of, plays the demo, and cleans up after runs that were killed. It is for
// development and is never shipped.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/progress"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	root := &cobra.Command{Use: "joinery-lab", Short: "Joinery's local world", SilenceUsage: true}
	root.AddCommand(readyCommand(), prepareCommand())
	root.AddCommand(machineCommands()...)
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		os.Exit(1) // cobra has printed the error
	}
}

// readyCommand lets the Makefile leave the machines out where they cannot run,
// and say why.
func readyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ready",
		Short: "say whether machines can run here; if not, print why and fail",
		Args:  cobra.NoArgs, SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error {
			why := host.Machines()
			if why == "" {
				return nil
			}
			fmt.Println(why)
			return errors.New(why)
		},
	}
}

func prepareCommand() *cobra.Command {
	var packer, maintenance, companions bool
	cmd := &cobra.Command{
		Use:   "prepare",
		Short: "build and bake what the lab needs, into the cache",
		Long:  "Installs missing Debian packages, downloads Kubernetes from its release archive ($JOINERY_KUBERNETES_ARCHIVE; none: from nowhere) or builds it from Go modules where that cannot be had, builds etcd, containerd and runc, and makes the machines' image. The first time takes up to half an hour; what is in the cache ($JOINERY_CACHE, or joinery in the user's cache directory) is not made again, and goes when it was not used for seven days.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := kit.Options{Report: printProgress}
			_, err := kit.Prepare(cmd.Context(), o)
			if err == nil && packer {
				err = kit.PreparePacker(cmd.Context(), o)
			}
			if err == nil && maintenance {
				err = kit.PrepareMaintenance(cmd.Context(), o)
			}
			if err == nil && companions {
				err = kit.PrepareCompanions(cmd.Context(), o)
			}
			if err != nil {
				return err
			}
			return kit.Prune(o)
		},
	}
	cmd.Flags().BoolVar(&packer, "packer", false, "also build packer and its builder for EC2, for a quarter of an hour the first time")
	cmd.Flags().BoolVar(&maintenance, "maintenance", false, "also build the release of Kubernetes before, to be upgraded from, and etcd's tools")
	cmd.Flags().BoolVar(&companions, "companions", false, "also build metrics-server and the Vertical Pod Autoscaler, for five minutes the first time")
	return cmd
}

func printProgress(e progress.Event) {
	switch {
	case e.State == progress.Noted:
		fmt.Println(e.Step)
	case e.Cached:
		fmt.Printf("%s is in the cache\n", e.Step)
	case e.State == progress.Started:
		fmt.Printf("%s ...\n", e.Step)
	case e.Err != nil:
		fmt.Printf("%s failed after %.0f s\n", e.Step, e.Elapsed.Seconds())
	case e.Elapsed.Seconds() >= 1:
		fmt.Printf("%s took %.0f s\n", e.Step, e.Elapsed.Seconds())
	}
}
