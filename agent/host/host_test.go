package host

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"github.com/joinery/joinery/lab/bubble"
)

func TestOnlyBlockingShutdownLocksHold(t *testing.T) {
	for _, tc := range []struct {
		what, mode string
		holds      bool
	}{
		{"shutdown", "block", true},
		{"sleep:shutdown", "block", true},
		{"shutdown", "delay", false},
		{"shutdown", "block-weak", false},
		{"handle-power-key", "block", false},
		{"sleep:idle", "block", false},
		{"", "block", false},
	} {
		if got := (Inhibitor{What: tc.what, Mode: tc.mode}).Holds(); got != tc.holds {
			t.Errorf("%q %s: holds %v, want %v", tc.what, tc.mode, got, tc.holds)
		}
	}
}

func TestCrashLooping(t *testing.T) {
	for _, tc := range []struct {
		s    UnitState
		want bool
	}{
		{UnitState{Active: "active", Sub: "running"}, false},
		{UnitState{Active: "activating", Sub: "auto-restart", Restarts: 1}, false},
		{UnitState{Active: "activating", Sub: "auto-restart", Restarts: 3}, true},
		{UnitState{Active: "active", Sub: "running", Restarts: 3}, false},
		{UnitState{Active: "active", Sub: "running", Restarts: 12}, true},
		{UnitState{Active: "failed", Sub: "failed"}, true},
	} {
		if got := tc.s.CrashLooping(); got != tc.want {
			t.Errorf("%+v: got %v, want %v", tc.s, got, tc.want)
		}
	}
}

func TestMaskedUnitsAreLeftAlone(t *testing.T) {
	got := unmasked([]dbus.UnitFile{
		{Path: "/lib/systemd/system/apt-daily.timer", Type: "enabled"},
		{Path: "/lib/systemd/system/apt-daily.service", Type: "static"},
		{Path: "/lib/systemd/system/apt-daily-upgrade.timer", Type: "enabled"},
		{Path: "/etc/systemd/system/apt-daily-upgrade.timer", Type: "masked"},
		{Path: "/run/systemd/system/unattended-upgrades.service", Type: "masked-runtime"},
	})
	if want := []string{"apt-daily.service", "apt-daily.timer"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWatchdogStarvesWhenWorkHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		n := NewNotifier(slog.New(slog.DiscardHandler))
		pings := 0
		n.Expect(time.Minute)
		go n.feed(ctx, 10*time.Second, func() { pings++ })
		bubble.Sleep(10 * time.Minute)
		if pings != 6 {
			t.Errorf("%d pings while nothing was heard for ten minutes, want the six of the first minute", pings)
		}
		n.Expect(time.Minute)
		bubble.Sleep(30 * time.Second)
		if pings < 8 {
			t.Errorf("%d pings after the work went on", pings)
		}
		cancel()
	})
}

func TestNotifierSpeaksToTheSupervisor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	n := NewNotifier(slog.New(slog.DiscardHandler))
	n.Status("waits\nfor a bundle")
	n.Ready()
	n.Ready()
	n.Stopping()
	buf := make([]byte, 256)
	for _, want := range []string{"STATUS=waits for a bundle", "READY=1", "STOPPING=1"} {
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		k, err := conn.Read(buf)
		if err != nil || string(buf[:k]) != want {
			t.Errorf("got %q, %v: want %q", buf[:k], err, want)
		}
	}
}
