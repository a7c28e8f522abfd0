package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/joinery/joinery/controlplane/uninstall"
)

const uninstallLong = `Remove what Joinery left in the cluster: the marks, labels and annotations of Nodes,
its join tokens, what the controller and joinery adopt remember, and the Lease. It
takes no part of Joinery off any machine, leaves the manifests that were applied
alone, and asks nothing of AWS. The operator's guide has the whole way.

It refuses while a controller leads. One that did not stop cleanly counts as leading for
as long as its Lease lasts, 10 s, and is waited for. Running it again goes on where a
failure ended it.

Exit codes: 0 nothing is left; 1 a controller leads, or something could not be removed.`

func uninstallCommand(k *kubeconfig) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use: "uninstall", Short: "Remove what Joinery left in the cluster", Long: uninstallLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := k.connect()
			if err != nil {
				return err
			}
			lines, err := uninstall.Run(cmd.Context(), uninstall.Options{Client: client, DryRun: dryRun})
			if failed := writeRemoved(cmd.OutOrStdout(), lines, dryRun); failed != nil {
				return failed
			}
			if err != nil {
				return &exitError{exitFound, err}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "remove nothing; print what would be removed")
	return cmd
}

func writeRemoved(w io.Writer, lines []uninstall.Line, dryRun bool) error {
	if len(lines) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	head := "REMOVED"
	if dryRun {
		head = "WOULD REMOVE"
	}
	fmt.Fprintf(t, "OBJECT\t%s\n", head)
	for _, l := range lines {
		fmt.Fprintf(t, "%s\t%s\n", l.Object, l.Removed)
	}
	return t.Flush()
}
