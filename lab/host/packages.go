// Package host looks after the machine that the lab runs on: which of its
// programs are there, installing the ones that are not, locks between builders,
// and running commands that a terminal's Ctrl-C must not hit.
package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/joinery/joinery/lab/progress"
)

// need is one thing that the lab uses and the Debian package that brings it.
type need struct {
	pkg   string
	check func(ctx context.Context) bool
}

func command(pkg, name string) need {
	return need{pkg: pkg, check: func(context.Context) bool {
		_, err := exec.LookPath(name)
		return err == nil
	}}
}

func needs() []need {
	return []need{
		command("systemd-container", "systemd-nspawn"),
		command("systemd", "journalctl"),
		command("debootstrap", "debootstrap"),
		command("iproute2", "ip"),
		command("iptables", "iptables"),
		command("util-linux", "nsenter"),
		command("gcc", "gcc"),
		command("pkg-config", "pkg-config"),
		{pkg: "libc6-dev", check: func(context.Context) bool {
			_, err := os.Stat("/usr/include/stdio.h")
			return err == nil
		}},
		{pkg: "libseccomp-dev", check: func(ctx context.Context) bool {
			return exec.CommandContext(ctx, "pkg-config", "--exists", "libseccomp").Run() == nil
		}},
	}
}

// MissingError names the packages without which no lab machine can run here.
type MissingError struct {
	// Packages are Debian package names.
	Packages []string
	// Why says why they were not just installed.
	Why string
}

// Error implements error.
func (e *MissingError) Error() string {
	return fmt.Sprintf("missing packages: %s (%s)", strings.Join(e.Packages, " "), e.Why)
}

// Missing lists the Debian packages that the lab needs and does not find.
func Missing(ctx context.Context) []string {
	var out []string
	for _, n := range needs() {
		if !n.check(ctx) && !slices.Contains(out, n.pkg) {
			out = append(out, n.pkg)
		}
	}
	return out
}

// Machines says, in words for a person, why no lab machine can run on this
// computer whatever is installed; "" when it can.
func Machines() string {
	switch {
	case runtime.GOOS != "linux":
		return "lab machines need Linux (systemd-nspawn, network namespaces, cgroups); this is " + runtime.GOOS
	case os.Geteuid() != 0:
		return "lab machines need root (systemd-nspawn, network namespaces, cgroups)"
	}
	return ""
}

// Ensure makes sure that the packages which the lab needs are installed: on
// Debian and its kin, as root, it installs what is missing with apt-get;
// anywhere else what is missing is a *MissingError.
func Ensure(ctx context.Context, report progress.Func) error {
	return report.Step("host packages", func() (bool, error) {
		missing := Missing(ctx)
		if len(missing) == 0 {
			return true, nil
		}
		if why := Machines(); why != "" {
			return false, &MissingError{Packages: missing, Why: why}
		}
		if _, err := exec.LookPath("apt-get"); err != nil {
			return false, &MissingError{Packages: missing, Why: "no apt-get here: install them by hand"}
		}
		if err := apt(ctx, "update"); err != nil {
			return false, err
		}
		if err := apt(ctx, append([]string{"install", "-y", "--no-install-recommends"}, missing...)...); err != nil {
			return false, err
		}
		if missing = Missing(ctx); len(missing) > 0 {
			return false, &MissingError{Packages: missing, Why: "still missing after apt-get install"}
		}
		return false, nil
	})
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=120"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := Run(cmd)
	if err != nil {
		if len(out) > 2000 {
			out = out[len(out)-2000:]
		}
		return fmt.Errorf("apt-get %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
