package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/joinery/lab/host"
)

// ExecError is a command that failed inside a machine.
type ExecError struct {
	Machine string
	Command string // the program's name; arguments may hold secrets
	Stderr  string
	Err     error
}

// Error implements error.
func (e *ExecError) Error() string {
	return fmt.Sprintf("run %s on %s: %v: %s", e.Command, e.Machine, e.Err, e.Stderr)
}

// Unwrap returns the cause, an *exec.ExitError when the command ran.
func (e *ExecError) Unwrap() error { return e.Err }

// Command prepares a command inside the machine: in all its namespaces, with a
// root login's environment, in the host's cgroup. Its group is killed when ctx
// ends.
func (m *Machine) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	s, err := m.running()
	if err != nil {
		return nil, fmt.Errorf("run on %s: %w", m.spec.ID, err)
	}
	pid := s.leader()
	if pid == 0 {
		return nil, fmt.Errorf("run on %s: %w yet", m.spec.ID, ErrDown)
	}
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{
		"--target", strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
		"env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
	}, args...)...)
	host.Detach(cmd)
	return cmd, nil
}

// Exec runs a command inside the machine and returns its standard output; a
// failure is an *ExecError.
func (m *Machine) Exec(ctx context.Context, args ...string) ([]byte, error) {
	cmd, err := m.Command(ctx, args...)
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, context.Cause(ctx))
		}
		text := strings.TrimSpace(stderr.String())
		if len(text) > 4000 {
			text = text[len(text)-4000:]
		}
		return stdout.Bytes(), &ExecError{Machine: m.spec.ID, Command: args[0], Stderr: text, Err: err}
	}
	return stdout.Bytes(), nil
}

// WaitUnits waits until all units are active inside the machine. A unit that
// has failed ends the wait at once, as none of the lab's comes back by itself.
func (m *Machine) WaitUnits(ctx context.Context, units ...string) error {
	tick := time.NewTicker(100 * time.Millisecond) // each look costs the booting guest some CPU
	defer tick.Stop()
	var last string
	for {
		out, err := m.Exec(ctx, append([]string{"systemctl", "is-active"}, units...)...)
		var run *ExecError
		switch {
		case err == nil || errors.As(err, &run):
			last = strings.Join(strings.Fields(string(out)), " ")
		case m.State() != Running:
			return fmt.Errorf("wait for %s: %w", strings.Join(units, " "), err)
		}
		states := strings.Fields(last)
		active := 0
		for _, s := range states {
			if s == "failed" {
				return fmt.Errorf("wait for %s on %s: states are %s", strings.Join(units, " "), m.spec.ID, last)
			}
			if s == "active" {
				active++
			}
		}
		if active == len(units) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s on %s: %w: states are %q", strings.Join(units, " "), m.spec.ID, context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}
