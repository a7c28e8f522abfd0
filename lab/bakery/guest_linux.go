// Package bakery bakes machines of the lab with the steps of packer/bake, from
// packages and archives that it makes of the lab's own programs and serves itself.
package bakery

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/joinery/joinery/lab/machine"
)

// Guest is a machine of the lab as the baker sees it, logged in to as root.
type Guest struct{ *machine.Machine }

// Run implements bake.Machine.
func (g Guest) Run(ctx context.Context, script string) (string, error) {
	cmd, err := g.Command(ctx, "sh", "-c", script)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("run script on %s: %w", g.ID(), err)
	}
	return out.String(), nil
}

// Upload implements bake.Machine.
func (g Guest) Upload(ctx context.Context, path string, content io.Reader) error {
	cmd, err := g.Command(ctx, receive(path)...)
	if err != nil {
		return err
	}
	cmd.Stdin = content
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("upload to %s: %w: %s", g.ID(), err, out)
	}
	return nil
}
