package install_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/release/pack"
	"github.com/joinery/joinery/release/program"
)

const root = "../.."

var names = []string{program.Agent, program.Controller, program.Operator}

// The versions that the same programs are packed as.
const before, after = "v0.2.0", "v0.3.0-rc.1"

// packages compiles this tree's programs and packs them as both versions. It returns
// their paths on the machine -> file.
func packages(t *testing.T) map[string]image.File {
	t.Helper()
	files := map[string]image.File{}
	platform := program.Platform{OS: "linux", Arch: host(t)}
	for _, name := range names {
		file := filepath.Join(t.TempDir(), name)
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", file, "./cmd/"+name)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, version := range []string{before, after} {
			p := program.Program{Name: name, Platform: platform, File: file, Version: version, Time: time.Unix(1_800_000_000, 0)}
			path, err := pack.Write(root, t.TempDir(), pack.Deb, p)
			if err != nil {
				t.Fatal(err)
			}
			files[deb(name, version)] = image.File{Source: path}
		}
	}
	return files
}

func host(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOHOSTARCH").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// deb is where a package lies on the machine.
func deb(name, version string) string { return "/opt/packages/" + name + "-" + version + ".deb" }

func debs(version string) []string {
	var all []string
	for _, name := range names {
		all = append(all, deb(name, version))
	}
	return all
}

// clean boots a Debian machine that nothing of Joinery was ever on.
func clean(t *testing.T, files map[string]image.File) *machine.Machine {
	t.Helper()
	labtest.Require(t)
	h, err := machine.NewHost(machine.Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(labtest.Lasting(t)); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	m, err := h.Launch(t.Context(), machine.Spec{
		ID: "i-000000000000000d1", IP: netip.MustParseAddr("10.99.0.21"), CPUs: 2, MemoryMiB: 1024, Image: labtest.Bare(t, h.Dir()), Files: files,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.WaitUnits(t.Context(), "lab-machine.service", "multi-user.target"); err != nil {
		t.Fatal(err)
	}
	return m
}

// guest is the machine as a root shell sees it.
type guest struct {
	*testing.T
	m *machine.Machine
}

// sh runs a script that must succeed and returns what it printed.
func (g guest) sh(script string) string {
	g.Helper()
	out, err := g.m.Exec(g.Context(), "sh", "-ec", script)
	if err != nil {
		g.Fatalf("%v\nafter: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// says compares what a script prints.
func (g guest) says(want, script string) {
	g.Helper()
	if got := g.sh(script); got != want {
		g.Errorf("%s\nprints %q, want %q", script, got, want)
	}
}

// files lists all files that outlive a reboot, but for what dpkg, logs and systemd keep
// of any package.
func (g guest) files() map[string]bool {
	g.Helper()
	all := map[string]bool{}
	for line := range strings.Lines(g.sh(`find /etc /home /opt /root /srv /usr /var -xdev \( -path /var/lib/dpkg -o -path /var/log -o -path /var/lib/systemd -o -path /var/cache -o -path /var/tmp \) -prune -o -print`)) {
		all[strings.TrimSpace(line)] = true
	}
	return all
}

// agentsProgram prints which file the agent runs from.
const agentsProgram = "readlink /proc/$(systemctl show --value --property MainPID joinery-agent)/exe"

const units = "joinery-agent.service joinery-controller.service joinery-credentials.service joinery-credentials.timer"

func TestPackagesOnDebian(t *testing.T) {
	g := guest{t, clean(t, packages(t))}
	untouched := g.files()
	g.install()
	g.operate()
	g.upgrade()
	g.remove()
	g.purge(untouched)
}

func (g guest) install() {
	g.sh("dpkg --install " + strings.Join(debs(before), " "))
	g.says("", "dpkg --verify "+strings.Join(names, " "))
	for _, u := range strings.Fields(units) {
		g.says("inactive", "systemctl is-active "+u+" || true")
		if got := g.sh("systemctl is-enabled " + u + " || true"); got != "disabled" && got != "static" {
			g.Errorf("%s is %s after installation", u, got)
		}
	}
	g.says("After=joinery-agent.service", "grep ^After= /usr/lib/systemd/system/kubelet.service.d/20-joinery.conf")
	g.says("755 root /etc/joinery\n700 root /etc/joinery/private", "stat --format '%a %U %n' /etc/joinery /etc/joinery/private")
	for _, name := range names {
		g.sh("test $(command -v " + name + ") = /usr/bin/" + name)
		if got := g.sh(name + " --version"); !strings.HasPrefix(got, name+" version ") {
			g.Errorf("%s --version prints %q", name, got)
		}
		g.sh(name + " completion bash | diff - /usr/share/bash-completion/completions/" + name)
		g.sh(name + " completion fish | diff - /usr/share/fish/vendor_completions.d/" + name + ".fish")
		g.sh(name + " completion zsh | diff - /usr/share/zsh/vendor-completions/_" + name)
	}
	if got := g.sh("kubectl-joinery --help"); !strings.Contains(got, "kubectl joinery [command]") {
		g.Errorf("the plugin says %q", got)
	}
	g.says("incomplete", `joinery-controller check-config >/dev/null 2>&1 && echo complete || echo incomplete`)
}

// operate does what an operator does: settings, and what is to run. The agent has no
// metadata service here and tries again and again. A copy from before there were packages
// is still there, and runs in place of the package's program until it is removed.
func (g guest) operate() {
	g.sh("cp /usr/bin/joinery-agent /usr/bin/joinery /usr/local/bin/")
	g.sh("echo AWS_REGION=us-west-2 >> /etc/joinery/agent.env; echo '# mine' >> /etc/joinery/controller.yaml")
	g.sh("systemctl enable --now --quiet --no-block joinery-agent.service joinery-credentials.timer")
	g.sh("mkdir -p /etc/joinery/private/controller && echo key > /etc/joinery/private/controller/client.pem")
	g.sh("for i in $(seq 150); do systemctl is-active --quiet joinery-agent && exit; sleep .2; done; systemctl status joinery-agent; exit 1")
	g.says("/usr/local/bin/joinery-agent", agentsProgram)
	g.says("joinery: /usr/local/bin/joinery takes precedence over this package: remove it", "dpkg --install "+deb(program.Operator, before)+" 2>&1 | grep precedence")
	g.sh("rm /usr/local/bin/joinery-agent /usr/local/bin/joinery")
}

// upgrade installs the later version. That of the controller comes with another default,
// so that dpkg has to choose.
func (g guest) upgrade() {
	changed := deb(program.Controller, after)
	g.sh(fmt.Sprintf("cd /tmp && dpkg-deb --raw-extract %[1]s c && echo '# new default' >> c/etc/joinery/controller.yaml && dpkg-deb --build c %[1]s && rm -r c", changed))
	pid := g.sh("systemctl show --value --property MainPID joinery-agent")
	g.sh("DEBIAN_FRONTEND=noninteractive dpkg --force-confold --install " + strings.Join(debs(after), " ") + " </dev/null")
	for _, name := range names {
		g.says("0.3.0~rc.1", "dpkg-query --show --showformat '${Version}' "+name)
	}
	g.says("AWS_REGION=us-west-2", "tail -1 /etc/joinery/agent.env")
	g.says("# mine", "tail -1 /etc/joinery/controller.yaml")
	g.says("# new default", "tail -1 /etc/joinery/controller.yaml.dpkg-dist")
	g.says("enabled\nenabled", "systemctl is-enabled joinery-agent.service joinery-credentials.timer")
	g.says("active", "systemctl is-active joinery-credentials.timer")
	g.says("disabled inactive", "echo $(systemctl is-enabled joinery-controller) $(systemctl is-active joinery-controller)")
	g.sh("for i in $(seq 150); do systemctl is-active --quiet joinery-agent && exit; sleep .2; done; systemctl status joinery-agent; exit 1")
	if again := g.sh("systemctl show --value --property MainPID joinery-agent"); again == pid || again == "0" {
		g.Errorf("the agent's process was %s and is %s", pid, again)
	}
	g.says("/usr/bin/joinery-agent", agentsProgram)
	g.says("no", "systemctl show --value --property NeedDaemonReload joinery-agent")
}

func (g guest) remove() {
	g.sh("dpkg --remove " + strings.Join(names, " "))
	g.says("", "pidof "+strings.Join(names, " ")+" || true")
	for _, u := range strings.Fields(units) {
		g.says("not-found", "systemctl show --value --property LoadState "+u)
	}
	g.says("", "find /etc/systemd /usr -name '*joinery*' -not -path '/usr/share/doc/*'")
	g.says("AWS_REGION=us-west-2", "tail -1 /etc/joinery/agent.env")
	g.says("key", "cat /etc/joinery/private/controller/client.pem")
}

// purge takes the agent's package first: what is the other's must stay.
func (g guest) purge(untouched map[string]bool) {
	g.sh("dpkg --purge joinery joinery-agent")
	g.says("key", "cat /etc/joinery/private/controller/client.pem")
	g.says("# mine", "tail -1 /etc/joinery/controller.yaml")
	g.sh("dpkg --purge joinery-controller")
	left := g.files()
	for path := range left {
		if !untouched[path] {
			g.Errorf("left after purging: %s", path)
		}
	}
	for path := range untouched {
		if !left[path] {
			g.Errorf("gone with the packages: %s", path)
		}
	}
	g.says("", "ls -d /run/joinery 2>/dev/null || true")
	g.says("", "systemctl list-units --all --plain --no-legend 'joinery*'")
}
