package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/joinery/joinery/lab/demo"
)

// machineCommands are the verbs that boot machines or remove them.
func machineCommands() []*cobra.Command { return []*cobra.Command{demoCommand(), cleanCommand()} }

func demoCommand() *cobra.Command {
	var out string
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "play the whole story on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keep && os.Getenv(keeperVariable) == "" {
				return startKeeper(cmd.Context(), out)
			}
			return runDemo(cmd.Context(), out, keep)
		},
	}
	cmd.Flags().StringVar(&out, "out", "_out", "directory for demo.json and logs")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the cluster up after the story")
	return cmd
}

func runDemo(ctx context.Context, out string, keep bool) error {
	if err := os.RemoveAll(filepath.Join(out, "logs")); err != nil {
		return fmt.Errorf("empty logs: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(out, "logs"), 0o755); err != nil {
		return fmt.Errorf("make logs: %w", err)
	}
	log, err := os.Create(filepath.Join(out, "logs", "lab.log"))
	if err != nil {
		return fmt.Errorf("make log: %w", err)
	}
	if os.Getenv(keeperVariable) != "" {
		syscall.CloseOnExec(keeperPipe) // or every machine would hold it open
	}
	o := demo.Options{Out: out, Terminal: os.Stdout, Log: slog.New(slog.NewTextHandler(log, nil))}
	if keep {
		o.Kept = func(ctx context.Context, kubectl []string) { tellKept(ctx, kubectl, out) }
	}
	_, err = demo.Run(ctx, o)
	return errors.Join(err, log.Close())
}

// tellKept says how to reach the cluster, lets the starting process go, and
// waits until it is asked to take the cluster down.
func tellKept(ctx context.Context, kubectl []string, out string) {
	fmt.Printf("\nThe cluster stays up. Reach it with\n\n  %s get nodes\n\nand take it down with\n\n  go run ./cmd/joinery-lab clean\n\n",
		strings.Join(kubectl, " "))
	if parent := os.NewFile(keeperPipe, "parent"); parent != nil {
		_, _ = io.WriteString(parent, keptMessage) // a parent that is gone needs no answer
		_ = parent.Close()
	}
	silence(out)
	<-ctx.Done()
}

// silence sends what is printed from now on to a file: the terminal is
// somebody else's again.
func silence(out string) {
	f, err := os.Create(filepath.Join(out, "logs", "teardown.log"))
	if err != nil {
		return // then the teardown is seen on the terminal, which hurts nobody
	}
	for _, fd := range []int{1, 2} {
		_ = unix.Dup2(int(f.Fd()), fd)
	}
}
