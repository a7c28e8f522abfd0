package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/progress"
)

// Layer returns a directory with further Debian packages, to be stacked on base, which
// is what Base returned. It is made once and then kept in cache. The packages come from
// where apt on this computer gets its own, as base did.
func Layer(ctx context.Context, cache, base string, report progress.Func, packages ...string) (string, error) {
	sum := sha256.Sum256([]byte(filepath.Base(base) + " " + strings.Join(packages, " ")))
	dir := filepath.Join(cache, "image", "layer-"+hex.EncodeToString(sum[:])[:12])
	err := Once(ctx, report, "image layer ("+strings.Join(packages, " ")+")", dir, func() error { return makeLayer(ctx, base, dir, packages) })
	if err != nil {
		return "", fmt.Errorf("make image layer of %s: %w", strings.Join(packages, " "), err)
	}
	return dir, nil
}

// makeLayer keeps what the installation writes: the upper directory of an overlay.
func makeLayer(ctx context.Context, base, dir string, packages []string) error {
	work := dir + ".partial"
	if err := host.Unmount(work); err != nil { // of one that was killed
		return err
	}
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("remove half-made layer: %w", err)
	}
	upper, root, archives := filepath.Join(work, "upper"), filepath.Join(work, "root"), filepath.Join(work, "archives")
	for _, d := range []string{upper, root, filepath.Join(work, "overlay"), filepath.Join(archives, "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := download(ctx, base, archives, packages); err != nil {
		return err
	}
	if err := install(ctx, base, work, upper, root, archives); err != nil {
		return err
	}
	if err := os.Rename(upper, dir); err != nil {
		return err
	}
	return os.RemoveAll(work)
}

// download has this computer's apt fetch what base lacks.
func download(ctx context.Context, base, archives string, packages []string) error {
	if out, err := host.Run(exec.CommandContext(ctx, "apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", "update")); err != nil {
		return fmt.Errorf("apt-get update: %w: %s", err, tail(out))
	}
	args := append([]string{
		"-q", "-y", "--no-install-recommends", "--download-only",
		"-o", "Dir::State::status=" + filepath.Join(base, "var/lib/dpkg/status"), "-o", "Dir::Cache::archives=" + archives,
		"-o", "Debug::NoLocking=true", "install",
	}, packages...)
	if out, err := host.Run(exec.CommandContext(ctx, "apt-get", args...)); err != nil {
		return fmt.Errorf("apt-get install: %w: %s", err, tail(out))
	}
	return nil
}

// install runs apt in the overlay, whose namespace of mounts ends with it. Apt downloads
// nothing; unlike dpkg it knows in which order packages can be configured.
func install(ctx context.Context, base, work, upper, root, archives string) error {
	const script = `set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3/overlay" "$4"
mount -t proc proc "$4/proc"
mkdir "$4/tmp/archives"
mount --bind "$5" "$4/tmp/archives"
chroot "$4" sh -c 'apt-get -q -y --no-install-recommends install /tmp/archives/*.deb && rm -f /var/cache/apt/*.bin'
umount "$4/tmp/archives" "$4/proc"
rmdir "$4/tmp/archives"`
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "sh", "-c", script, "sh", base, upper, work, root, archives)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LANG=C.UTF-8")
	if out, err := host.Run(cmd); err != nil {
		return fmt.Errorf("install packages: %w: %s", err, tail(out))
	}
	return nil
}
