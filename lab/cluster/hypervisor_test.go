//go:build linux

package cluster_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
)

// eventually waits until ok; a test that waits in vain fails.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(3 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within 3 min", what)
		case <-tick.C:
		}
	}
}

// TestHypervisor lets a simulated AWS launch a machine, and both see the same.
func TestHypervisor(t *testing.T) {
	k := labtest.Kit(t)
	host, ami := newRun(t, k)
	h := &cluster.Hypervisor{Host: host, Image: ami, Customize: func(i awssim.Instance, s *machine.Spec) {
		s.Files = map[string]image.File{"/etc/type": {Data: []byte(i.Type)}}
	}}
	w := &awssim.World{Hypervisor: h}
	h.World = w
	t.Cleanup(w.Close)
	i, err := w.AddInstance(awssim.InstanceSpec{Type: "t3.medium"})
	if err != nil {
		t.Fatal(err)
	}
	state := func(want awssim.State) func() bool {
		return func() bool {
			now, err := w.Instance(i.ID)
			return err == nil && now.State == want
		}
	}
	eventually(t, "instance runs", state(awssim.Running))
	m, ok := host.Machine(i.ID)
	if !ok {
		t.Fatal("the instance has no machine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := m.WaitUnits(ctx, "multi-user.target"); err != nil {
		t.Fatal(err)
	}
	checkGuest(ctx, t, m, i)
	if err := h.Reboot(ctx, i.ID); err != nil {
		t.Error(err)
	}
	if err := m.WaitUnits(ctx, "multi-user.target"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Exec(ctx, "systemctl", "poweroff"); err != nil {
		t.Logf("poweroff: %v", err) // the connection may die with the guest
	}
	eventually(t, "instance stops with its guest", state(awssim.Stopped))
	now, err := w.Instance(i.ID)
	if err != nil || !strings.Contains(now.StateReason, "InstanceInitiatedShutdown") {
		t.Errorf("reason %q (%v)", now.StateReason, err)
	}
	w.Terminate(i.ID)
	eventually(t, "instance terminates", state(awssim.Terminated))
	if _, ok := host.Machine(i.ID); ok {
		t.Error("the machine outlives its instance")
	}
	if err := h.Stop(ctx, i.ID); err == nil {
		t.Error("an instance without a machine can be stopped")
	}
	if err := h.Terminate(ctx, i.ID); err != nil {
		t.Errorf("terminating twice: %v", err)
	}
}

// checkGuest looks at the instance from inside.
func checkGuest(ctx context.Context, t *testing.T, m *machine.Machine, i awssim.Instance) {
	t.Helper()
	const ask = `T=$(curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
cat /etc/type; echo; curl -sf -m 5 -H "X-aws-ec2-metadata-token: $T" http://169.254.169.254/latest/meta-data/instance-id`
	out, err := m.Exec(ctx, "sh", "-c", ask)
	if err != nil || string(out) != "t3.medium\n"+i.ID {
		t.Errorf("the guest sees %q (%v)", out, err)
	}
	if got := m.IP().String(); got != i.PrivateIP {
		t.Errorf("address %s, want %s", got, i.PrivateIP)
	}
}
