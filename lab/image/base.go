package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/progress"
)

// recipe changes whenever the code below makes a different base from the same
// packages, so that no cached base of an older recipe is used.
const recipe = "1"

// packages are what a machine needs beyond debootstrap's minbase: an init, the
// programs that kubeadm and kubelet call, and the reference CNI plugins.
func packages() []string {
	return []string{
		"systemd", "systemd-sysv", "dbus", "libpam-systemd", "iproute2", "iptables", "conntrack",
		"ethtool", "kmod", "curl", "ca-certificates", "procps", "iputils-ping", "libseccomp2",
		"containernetworking-plugins",
	}
}

// BaseDir says where under cache the base of source lies or will lie.
func BaseDir(cache string, source Source) string {
	h := sha256.New()
	fmt.Fprintln(h, recipe, runtime.GOARCH, source.Suite, strings.Join(source.Components, ","), strings.Join(packages(), ","))
	return filepath.Join(cache, "image", "base-"+source.Suite+"-"+hex.EncodeToString(h.Sum(nil))[:12])
}

// Base returns the directory of the operating system that every machine's disk
// starts from, made once with debootstrap and then kept in cache. It is a lower
// layer of mounted disks: nothing may change it while a machine exists.
func Base(ctx context.Context, cache string, report progress.Func) (string, error) {
	source, err := HostMirror("/")
	if err != nil {
		return "", err
	}
	return base(ctx, cache, source, report)
}

// BaseOf returns the directory of another release of the same distribution, from
// the mirror that this computer uses. Images are baked of it; nothing that is linked
// to this computer's C library runs in it for sure.
func BaseOf(ctx context.Context, cache, suite string, report progress.Func) (string, error) {
	source, err := HostMirror("/")
	if err != nil {
		return "", err
	}
	source.Suite = suite
	return base(ctx, cache, source, report)
}

func base(ctx context.Context, cache string, source Source, report progress.Func) (string, error) {
	dir := BaseDir(cache, source)
	err := Once(ctx, report, "image base ("+source.Suite+")", dir, func() error { return makeBase(ctx, source, dir) })
	if err != nil {
		return "", fmt.Errorf("make image base: %w", err)
	}
	return dir, nil
}

func makeBase(ctx context.Context, source Source, dir string) error {
	work := dir + ".partial"
	// A debootstrap that was killed leaves /proc mounted in there.
	if err := host.Unmount(work); err != nil {
		return err
	}
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("remove half-made base: %w", err)
	}
	cmd := exec.CommandContext(ctx, "debootstrap", "--variant=minbase",
		"--components="+strings.Join(source.Components, ","),
		"--include="+strings.Join(packages(), ","), source.Suite, work, source.URI)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if proxy := host.AptProxy(ctx); proxy != "" {
		cmd.Env = append(cmd.Env, "http_proxy="+proxy)
	}
	if out, err := host.Run(cmd); err != nil {
		return fmt.Errorf("debootstrap %s: %w: %s", source.Suite, err, tail(out))
	}
	if err := generalize(work); err != nil {
		return err
	}
	return os.Rename(work, dir)
}

// generalize removes what must not be the same on two machines and what would
// disturb a short-lived one.
func generalize(root string) error {
	for _, gone := range []string{"var/cache/apt/archives/*.deb", "var/lib/apt/lists/*", "var/lib/dbus/machine-id", "etc/hostname"} {
		paths, err := filepath.Glob(filepath.Join(root, gone))
		if err != nil {
			return fmt.Errorf("clean base: %w", err)
		}
		for _, p := range paths {
			if err := os.RemoveAll(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("clean base: %w", err)
			}
		}
	}
	// An empty machine-id makes systemd take the one that nspawn passes with
	// --uuid. With a baked one all Nodes would share machineID and systemUUID.
	files := map[string]File{
		"/etc/machine-id":  {Mode: 0o444},
		"/etc/resolv.conf": {Data: []byte("nameserver 10.99.0.1\n")},
	}
	for _, unit := range []string{"apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "dpkg-db-backup.timer"} {
		files["/etc/systemd/system/"+unit] = File{Link: "/dev/null"}
	}
	for _, dir := range []string{"/var/lib/containerd", "/var/lib/kubelet", "/var/log/journal", "/opt/lab", "/etc/cni/net.d", "/etc/kubernetes/manifests"} {
		files[dir] = File{Mode: fs.ModeDir | 0o755}
	}
	return WriteFiles(root, files)
}

// tail keeps the last lines of a command's output for an error.
func tail(out []byte) string {
	const keep = 2000
	if len(out) > keep {
		out = out[len(out)-keep:]
	}
	return strings.TrimSpace(string(out))
}
