package join

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// unitDriver is the part of host.Units that a join needs.
type unitDriver interface {
	Start(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
	Enable(ctx context.Context, unit string) error
	Disable(ctx context.Context, unit string) error
}

// clean removes what a join that did not end left behind: kubeadm refuses to
// start with most of it, keeps a stale ca.crt of another cluster, and leaves a
// bootstrap credential on disk. It must not be called on a joined machine.
func clean(ctx context.Context, units unitDriver, p Paths) error {
	stale := []string{
		p.KubeletConfig(), p.bootstrapConfig(), p.ca(),
		filepath.Join(p.Kubelet, "config.yaml"), filepath.Join(p.Kubelet, "instance-config.yaml"),
		filepath.Join(p.Kubelet, "kubeadm-flags.env"),
	}
	more, err := filepath.Glob(filepath.Join(p.Kubelet, "pki", "kubelet-client*"))
	if err != nil {
		return fmt.Errorf("clean an earlier join: %w", err)
	}
	stale = existing(append(stale, more...))
	if len(stale) == 0 {
		return nil
	}
	// A kubelet that runs would write some of it again.
	if err := units.Stop(ctx, KubeletUnit); err != nil {
		return fmt.Errorf("clean an earlier join: %w", err)
	}
	if err := remove(stale...); err != nil {
		return fmt.Errorf("clean an earlier join: %w", err)
	}
	return nil
}

// Reset makes the machine as if it had never been a node: for an image that was
// made of one. The kubelet is disabled, so that it does not come up with the
// old identity, and loses what it remembers of the other machine's hardware.
func Reset(ctx context.Context, units unitDriver, p Paths) error {
	if err := units.Disable(ctx, KubeletUnit); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	if err := units.Stop(ctx, KubeletUnit); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	if err := clean(ctx, units, p); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	rest := []string{filepath.Join(p.Kubelet, "cpu_manager_state"), filepath.Join(p.Kubelet, "memory_manager_state")}
	serving, err := filepath.Glob(filepath.Join(p.Kubelet, "pki", "kubelet*"))
	if err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	if err := remove(append(rest, serving...)...); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	return nil
}

// removeSecrets takes away what only the join needed.
func removeSecrets(p Paths) error {
	if err := remove(p.discovery(), p.bootstrapConfig()); err != nil {
		return fmt.Errorf("remove join secrets: %w", err)
	}
	return nil
}

func existing(paths []string) []string {
	var there []string
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			there = append(there, path)
		}
	}
	return there
}

func remove(paths ...string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
