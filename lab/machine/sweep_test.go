//go:build linux

package machine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
)

// victim, when set in the environment, makes TestVictim a lab process that
// waits for its end.
const victim = "JOINERY_TEST_VICTIM"

func TestVictim(t *testing.T) {
	if os.Getenv(victim) == "" {
		return // it is a part of TestSweepAfterKill
	}
	h, err := machine.NewHost(machine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Launch(t.Context(), machine.Spec{
		ID: "i-1", IP: netip.MustParseAddr("10.99.0.11"), CPUs: 1, MemoryMiB: 512, Image: labtest.Bare(t, h.Dir()),
		Metadata: answer("x"), HopLimit: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, m)
	fmt.Println("up", h.Prefix())
	select {}
}

func TestSweepAfterKill(t *testing.T) {
	labtest.Require(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.v")
	cmd.Env = append(os.Environ(), victim+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	prefix := ""
	for sc := bufio.NewScanner(out); prefix == "" && sc.Scan(); {
		prefix, _ = strings.CutPrefix(sc.Text(), "up ")
		if prefix == sc.Text() {
			prefix = ""
		}
	}
	if prefix == "" {
		t.Fatal("no lab came up")
	}
	if err := machine.Sweep(t.Context(), prefix, ""); !errors.Is(err, host.ErrLocked) {
		t.Errorf("a living run can be swept: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	runs, err := machine.Runs("")
	if err != nil || !slices.Contains(runs, machine.Run{Prefix: prefix}) {
		t.Errorf("run %s is not among %v, or not as dead (%v)", prefix, runs, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := machine.Sweep(ctx, prefix, ""); err != nil {
		t.Error(err)
	}
	left, err := machine.Leftovers(prefix, "")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
