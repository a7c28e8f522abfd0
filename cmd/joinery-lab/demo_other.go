//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/joinery/joinery/lab/host"
)

// machineCommands are the verbs that boot machines, which cannot run here.
func machineCommands() []*cobra.Command {
	cannot := func(*cobra.Command, []string) error { return errors.New(host.Machines()) }
	demo := &cobra.Command{Use: "demo", Short: "play the whole story (not here)", RunE: cannot}
	demo.Flags().Bool("keep", false, "leave the cluster up after the story")
	return []*cobra.Command{demo}
}
