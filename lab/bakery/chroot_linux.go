package bakery

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/netns"
)

// Chroot is a mounted root file system as the baker sees it. Nothing is booted:
// systemd's files are changed, and what would start or stop a unit does nothing.
type Chroot struct {
	Root string
	// Network is the network namespace in which scripts run.
	Network string
}

// Run implements bake.Machine.
func (c Chroot) Run(ctx context.Context, script string) (string, error) {
	out, err := c.run(ctx, nil, "sh", "-c", script)
	if err != nil {
		return out, fmt.Errorf("run script in %s: %w", c.Root, err)
	}
	return out, nil
}

// Upload implements bake.Machine.
func (c Chroot) Upload(ctx context.Context, path string, content io.Reader) error {
	if out, err := c.run(ctx, content, receive(path)...); err != nil {
		return fmt.Errorf("upload to %s: %w: %s", c.Root, err, out)
	}
	return nil
}

// receive is a command that writes its input to a file.
func receive(path string) []string { return []string{"sh", "-c", `umask 077; cat > "$0"`, path} }

// enter gives the root what a booted system has mounted, in a mount namespace of its
// own, and runs the rest of its arguments there. Devices are the harmless ones only.
const enter = `set -e
cd "$0"
mount -t proc proc proc
mount -t tmpfs -o mode=0755 run run
mount -t tmpfs -o mode=0755 dev dev
for d in full null random tty urandom zero; do
	touch dev/$d
	mount --bind /dev/$d dev/$d
done
ln -s /proc/self/fd dev/fd
exec chroot . env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 SYSTEMD_OFFLINE=1 "$@"
`

// run runs a command and returns what it wrote. Whatever it leaves running ends with
// it, as its process namespace does.
func (c Chroot) run(ctx context.Context, input io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "sh", "-c", enter, c.Root}, args...)...)
	host.Detach(cmd)
	var out strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, &out, &out
	err := netns.Start(c.Network, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	return out.String(), err
}
