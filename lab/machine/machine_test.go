//go:build linux

package machine_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
)

// newHost starts a run and proves at the end that nothing of it stays.
func newHost(t *testing.T, o machine.Options) *machine.Host {
	t.Helper()
	labtest.Require(t)
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	h, err := machine.NewHost(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := labtest.Lasting(t)
		begin := time.Now()
		if err := h.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		t.Logf("teardown: %.1f s", time.Since(begin).Seconds())
		left, err := machine.Leftovers(h.Prefix(), o.Root)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v (%v)", left, err)
		}
	})
	return h
}

func answer(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
}

func run(t *testing.T, m *machine.Machine, args ...string) string {
	t.Helper()
	out, err := m.Exec(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func wait(t *testing.T, m *machine.Machine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	begin := time.Now()
	if err := m.WaitUnits(ctx, "lab-machine.service", "multi-user.target"); err != nil {
		text, _ := os.ReadFile(filepath.Join(filepath.Dir(m.Path("/")), "console.log"))
		t.Fatalf("%v\n%s", err, text)
	}
	t.Logf("%s is up after %.1f s", m.ID(), time.Since(begin).Seconds())
}

func TestMachineLife(t *testing.T) {
	logs := t.TempDir()
	h := newHost(t, machine.Options{LogDir: logs})
	img := labtest.Bare(t, h.Dir())
	halted := make(chan error, 1)
	one, err := h.Launch(t.Context(), machine.Spec{
		ID: "i-0000000000000000a", IP: netip.MustParseAddr("10.99.0.12"), CPUs: 4, MemoryMiB: 2048, Image: img,
		Metadata: answer("one"), HopLimit: 1, OnHalt: func(err error) { halted <- err },
		Files: map[string]image.File{"/etc/extra": {Data: []byte("extra"), Mode: 0o600}},
	})
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.Launch(t.Context(), machine.Spec{
		ID: "i-0000000000000000b", IP: netip.MustParseAddr("10.99.0.13"), CPUs: 1, MemoryMiB: 1024, Image: img,
		Metadata: answer("two"), HopLimit: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, one)
	wait(t, two)
	t.Run("size", func(t *testing.T) { checkSize(t, one, 4, 2048); checkSize(t, two, 1, 1024) })
	t.Run("files", func(t *testing.T) {
		if got := run(t, one, "cat", "/etc/extra", "/etc/hostname"); got != "extraip-10-99-0-12" {
			t.Errorf("files hold %q", got)
		}
	})
	t.Run("metadata", func(t *testing.T) { checkMetadata(t, h, one, two) })
	t.Run("reboot", func(t *testing.T) { checkReboot(t, one) })
	t.Run("power off and start", func(t *testing.T) { checkPowerOff(t, one, halted) })
	t.Run("plug", func(t *testing.T) { checkPlug(t, two) })
	t.Run("terminate", func(t *testing.T) {
		if err := one.Terminate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(one.Path("/")); err == nil {
			t.Error("the disk is still there")
		}
		text, err := os.ReadFile(filepath.Join(logs, one.ID(), "journal.log"))
		if err != nil || strings.Count(string(text), "Startup finished") != 3 {
			t.Errorf("journal of %d bytes kept (%v)", len(text), err)
		}
	})
}

func checkSize(t *testing.T, m *machine.Machine, cpus, mib int) {
	if got, want := run(t, m, "cat", "/sys/devices/system/cpu/online"), fmt.Sprintf("0-%d", cpus-1); got != want {
		t.Errorf("CPUs: %s, want %s", got, want)
	}
	if got, want := run(t, m, "head", "-1", "/proc/meminfo"), fmt.Sprintf("MemTotal:       %d kB", mib*1024); got != want {
		t.Errorf("memory: %s, want %s", got, want)
	}
}

// pod runs curl as a pod would see the network: in a namespace of its own
// behind the machine.
const pod = `ip netns add p && ip link add v0 type veth peer name e0 netns p && ip addr add 10.244.%[1]d.1/24 dev v0 && ip link set v0 up &&
ip -n p addr add 10.244.%[1]d.2/24 dev e0 && ip -n p link set e0 up && ip -n p route add default via 10.244.%[1]d.1 && sysctl -qw net.ipv4.ip_forward=1
ip netns exec p curl -s -m 1 http://169.254.169.254/ || echo none; ip netns del p; ip link del v0 2>/dev/null; true`

func checkMetadata(t *testing.T, h *machine.Host, one, two *machine.Machine) {
	for m, want := range map[*machine.Machine]string{one: "one", two: "two"} {
		if got := run(t, m, "curl", "-s", "-m", "2", "http://169.254.169.254/"); got != want {
			t.Errorf("%s reads %q, want %q", m.ID(), got, want)
		}
	}
	if got := run(t, one, "sh", "-c", fmt.Sprintf(pod, 12)); got != "none" {
		t.Errorf("with hop limit 1 a pod reads %q", got)
	}
	if got := run(t, two, "sh", "-c", fmt.Sprintf(pod, 13)); got != "two" {
		t.Errorf("with hop limit 2 a pod reads %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if c, err := h.VPC().DialContext(ctx, "tcp", "169.254.169.254:80"); err == nil {
		c.Close()
		t.Error("the VPC reaches a metadata service")
	}
	if got := run(t, one, "ping", "-c1", "-W2", "-q", "10.99.0.13"); !strings.Contains(got, " 0% packet loss") {
		t.Errorf("machines do not reach each other: %s", got)
	}
}

func checkReboot(t *testing.T, m *machine.Machine) {
	id := run(t, m, "cat", "/etc/machine-id")
	boot := run(t, m, "cat", "/proc/sys/kernel/random/boot_id")
	run(t, m, "sh", "-c", "echo kept > /var/kept; echo lost > /run/lost")
	if err := m.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(t, m)
	if got := run(t, m, "cat", "/etc/machine-id", "/var/kept"); got != id+"\nkept" {
		t.Errorf("after the reboot: %q", got)
	}
	if got := run(t, m, "sh", "-c", "cat /proc/sys/kernel/random/boot_id; ls /run/lost 2>/dev/null || true"); got == boot || strings.Contains(got, "lost") {
		t.Errorf("not a new boot: %q", got)
	}
	if m.Boots() != 2 {
		t.Errorf("%d boots, want 2", m.Boots())
	}
	run(t, m, "systemctl", "is-system-running", "--wait")
}

func checkPowerOff(t *testing.T, m *machine.Machine, halted <-chan error) {
	if _, err := m.Exec(t.Context(), "systemctl", "poweroff"); err != nil {
		t.Logf("poweroff: %v", err) // the connection may die with the guest
	}
	select {
	case err := <-halted:
		if err != nil {
			t.Errorf("halt is told as %v", err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("nobody was told of the halt")
	}
	if got := m.State(); got != machine.Stopped {
		t.Fatalf("state %s", got)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(t, m)
	if got := run(t, m, "cat", "/var/kept"); got != "kept" {
		t.Errorf("after stop and start: %q", got)
	}
	if got := run(t, m, "curl", "-s", "-m", "2", "http://169.254.169.254/"); got != "one" {
		t.Errorf("metadata after stop and start: %q", got)
	}
	begin := time.Now()
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("stop: %.1f s", time.Since(begin).Seconds())
	select {
	case <-halted:
		t.Error("a halt that was asked for was told")
	default:
	}
}

func checkPlug(t *testing.T, m *machine.Machine) {
	run(t, m, "sh", "-c", "echo kept > /var/kept; sync")
	begin := time.Now()
	if err := m.PullPlug(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(t, m)
	if got := run(t, m, "cat", "/var/kept"); got != "kept" {
		t.Errorf("after the plug: %q", got)
	}
}
