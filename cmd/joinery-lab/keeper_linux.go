package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/joinery/joinery/lab/machine"
)

const (
	// keeperVariable is set for the process that keeps the cluster: it hosts the
	// simulated AWS, so a cluster that stays up needs a process that stays.
	keeperVariable = "JOINERY_LAB_KEEPER"
	keeperPipe     = 3
	keptMessage    = "kept"
	keeperPID      = "demo.pid"
)

// startKeeper runs the demo in a process of its own, which goes on after this
// one has ended, and waits until the story is over.
func startKeeper(ctx context.Context, out string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find program: %w", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	cmd := exec.Command(self, "demo", "--keep", "--out", out)
	cmd.Env = append(os.Environ(), keeperVariable+"=1")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdout, os.Stderr, []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a Ctrl-C later is not meant for it
	if err := errors.Join(cmd.Start(), write.Close()); err != nil {
		return fmt.Errorf("start demo: %w", err)
	}
	if err := writePID(out, cmd.Process.Pid); err != nil {
		return errors.Join(err, cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
	}
	over := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer over()
	message := make([]byte, len(keptMessage))
	if _, err := io.ReadFull(read, message); err == nil {
		return cmd.Process.Release()
	}
	return errors.Join(cmd.Wait(), os.Remove(filepath.Join(out, keeperPID)))
}

func writePID(out string, pid int) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("write pid: %w", err)
	}
	return os.WriteFile(filepath.Join(out, keeperPID), []byte(strconv.Itoa(pid)), 0o644)
}

func cleanCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "take down a kept cluster and what killed runs left behind",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(stopKeeper(cmd.Context(), out), sweepDead(cmd.Context()))
		},
	}
	cmd.Flags().StringVar(&out, "out", "_out", "directory that the demo was run with")
	return cmd
}

// stopKeeper asks the process that keeps a cluster to take it down and waits.
func stopKeeper(ctx context.Context, out string) error {
	path := filepath.Join(out, keeperPID)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read pid: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("%s: %q: expected a process id", path, text)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for asked := false; isKeeper(pid); asked = true {
		if !asked {
			fmt.Printf("taking down the cluster of process %d ...\n", pid)
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				return fmt.Errorf("stop process %d: %w", pid, err)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return os.Remove(path)
}

// isKeeper makes sure that a pid read from a file is still that process.
func isKeeper(pid int) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && strings.Contains(string(env), keeperVariable+"=1")
}

// sweepDead removes what runs whose process is gone have left.
func sweepDead(ctx context.Context) error {
	runs, err := machine.Runs("")
	if err != nil {
		return fmt.Errorf("list runs: %w", err)
	}
	var failed []error
	for _, r := range runs {
		if r.Live {
			fmt.Printf("%s is running: left alone\n", r.Prefix)
			continue
		}
		fmt.Printf("removing what %s left behind\n", r.Prefix)
		failed = append(failed, machine.Sweep(ctx, r.Prefix, ""))
	}
	return errors.Join(failed...)
}
