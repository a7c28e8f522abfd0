package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/joinery/joinery/controlplane/rotation"
)

func tokenCommand(k *kubeconfig) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Deal with the join token", Args: cobra.NoArgs}
	var timeout time.Duration
	rotate := &cobra.Command{
		Use: "rotate", Short: "Have the leader publish a new join token, and wait until it has", Args: cobra.NoArgs,
		Long: `Have the leader publish a new join token, and wait until it has. The one before
stays usable for spec.token.overlap, for nodes that are booting; to revoke it at
once, delete its Secret in kube-system.

Exit codes: 0 a new token is published; 1 it is not, or not yet.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := k.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			id, err := rotation.Ask(ctx, client)
			if err != nil {
				return &exitError{exitFound, err}
			}
			a, err := rotation.Await(ctx, client, id)
			if err != nil {
				return &exitError{exitFound, explain(ctx, err, id, timeout)}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "token %s is published and expires at %s\n", a.TokenID, a.ExpiresAt.UTC().Format(time.RFC3339))
			return err
		},
	}
	rotate.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait for the leader's answer")
	cmd.AddCommand(rotate)
	return cmd
}

// explain says that a request that met no answer is not withdrawn: the next
// leader answers it.
func explain(ctx context.Context, err error, id string, timeout time.Duration) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("no answer within %s: %w; request %s stands; whether a controller leads is what joinery doctor says", timeout, err, id)
}
