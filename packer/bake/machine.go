package bake

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Machine is what is baked: a machine of the lab, or the other end of packer's
// communicator.
type Machine interface {
	// Run runs a script of sh as root and returns what it wrote, errors included. A
	// script that fails is an error.
	Run(ctx context.Context, script string) (output string, err error)
	// Upload writes a file as the user that is logged in, who need not be root.
	Upload(ctx context.Context, path string, content io.Reader) error
}

// words quotes arguments for sh.
func words(args ...string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// probe returns the machine's system.
func probe(ctx context.Context, m Machine) (System, error) {
	release, err := m.Run(ctx, "cat /etc/os-release")
	if err != nil {
		return System{}, fmt.Errorf("recognize machine: read /etc/os-release: %w", err)
	}
	arch, err := m.Run(ctx, "dpkg --print-architecture")
	if err != nil {
		return System{}, fmt.Errorf("recognize machine: ask dpkg for its architecture: %w", err)
	}
	return ParseSystem(release, arch)
}
