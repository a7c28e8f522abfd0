package node

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// machine is the other end of packer's communicator, as packer/bake sees it.
type machine struct{ comm packersdk.Communicator }

// Run implements bake.Machine. The user of a stock image is not root, and may become
// root without a password.
func (m machine) Run(ctx context.Context, script string) (string, error) {
	quoted := "'" + strings.ReplaceAll(script, "'", `'\''`) + "'"
	var out output
	cmd := &packersdk.RemoteCmd{
		Command: `if [ "$(id -u)" = 0 ]; then exec sh -c ` + quoted + `; else exec sudo -n sh -c ` + quoted + `; fi`,
		Stdout:  &out, Stderr: &out,
	}
	if err := m.comm.Start(ctx, cmd); err != nil {
		return "", fmt.Errorf("start script: %w", err)
	}
	status, err := wait(ctx, cmd)
	if err != nil {
		return "", err
	}
	switch status {
	case 0:
		return out.String(), nil
	case packersdk.CmdDisconnect:
		return out.String(), fmt.Errorf("run script: the connection was lost before it ended")
	}
	return out.String(), fmt.Errorf("run script: exit status %d", status)
}

// output is what a command wrote on both of its streams, which arrive side by side.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String implements fmt.Stringer.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait returns the exit status of a command that was started. Output is complete then.
// packer tears the connection down after an interrupt, which ends the command.
func wait(ctx context.Context, cmd *packersdk.RemoteCmd) (int, error) {
	ended := make(chan int, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case status := <-ended:
		return status, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("run script: %w", context.Cause(ctx))
	}
}

// Upload implements bake.Machine.
func (m machine) Upload(_ context.Context, path string, content io.Reader) error {
	return m.comm.Upload(path, content, nil)
}
