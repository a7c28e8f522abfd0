// Command joinery-agent makes the EC2 instance that it runs on a node of its
// kubeadm cluster, and keeps the report about that node fresh.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/joinery/joinery/agent"
	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/agent/report"
	"github.com/joinery/joinery/internal/output"
	"github.com/joinery/joinery/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := root().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "joinery-agent:", output.Line(err.Error()))
		os.Exit(1)
	}
}

func root() *cobra.Command {
	run := runCommand()
	cmd := &cobra.Command{
		Use:           "joinery-agent",
		Short:         "Make this EC2 instance a node of its kubeadm cluster",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          run.RunE,
	}
	cmd.Flags().AddFlagSet(run.Flags())
	cmd.AddCommand(run)
	version.AddTo(cmd)
	return cmd
}

func runCommand() *cobra.Command {
	var level slog.Level
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Boot the node and report about it until told to stop (the default)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := output.NewLogger(cmd.ErrOrStderr(), level)
			// The Kubernetes client logs by itself; its lines belong to ours.
			klog.SetSlogLogger(log)
			return agent.Run(cmd.Context(), agent.Options{
				Version: version.Version(), Paths: join.DefaultPaths(), State: agent.DefaultState, Holds: report.HoldDirectory, Log: log,
			})
		},
	}
	cmd.Flags().TextVar(&level, "log-level", slog.LevelInfo, "least level to log: debug, info, warn or error")
	return cmd
}
