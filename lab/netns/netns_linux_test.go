package netns_test

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/netns"
)

func newNamespace(t *testing.T) string {
	t.Helper()
	labtest.Require(t)
	name := machine.NewPrefix() + "test"
	if err := netns.Create(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Delete(name); err != nil {
			t.Error(err)
		}
		if left, err := netns.List(name); err != nil || len(left) > 0 {
			t.Errorf("left: %v (%v)", left, err)
		}
		if err := netns.Delete(name); err != nil {
			t.Errorf("deleting twice: %v", err)
		}
	})
	err := netns.Do(name, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDialAndListen(t *testing.T) {
	name := newNamespace(t)
	l, err := netns.Listen(t.Context(), name, "127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "inside") // the reader checks
			c.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := netns.Dialer(name)(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if text, err := io.ReadAll(c); err != nil || string(text) != "inside" {
		t.Errorf("read %q (%v)", text, err)
	}
	if c, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("the listener is reached from outside")
	}
	if _, err := netns.Dialer(name)(ctx, "tcp", "localhost:80"); err == nil {
		t.Error("a host name is dialled")
	}
}

func TestDoLeavesNoThreadBehind(t *testing.T) {
	name := newNamespace(t)
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		err := netns.Do(name, func() error {
			inside, err := os.Readlink("/proc/thread-self/ns/net")
			if err == nil && inside == home {
				t.Error("not inside")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		at, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/net")
		if err == nil && at != home { // a thread that ended meanwhile is fine
			t.Errorf("thread %s stayed inside", thread.Name())
		}
	}
}

func TestStart(t *testing.T) {
	name := newNamespace(t)
	var out strings.Builder
	cmd := exec.CommandContext(t.Context(), "ip", "-o", "link")
	cmd.Stdout = &out
	if err := netns.Start(name, cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "eth0") || !strings.Contains(out.String(), "lo:") {
		t.Errorf("the command sees %s", out.String())
	}
}

func TestList(t *testing.T) {
	name := newNamespace(t)
	if got, err := netns.List(name[:6]); err != nil || !slices.Contains(got, name) {
		t.Errorf("got %v (%v)", got, err)
	}
	if err := netns.Create(name); err == nil {
		t.Error("a namespace is made twice")
	}
	if err := netns.Do("no-such-namespace", func() error { return nil }); err == nil {
		t.Error("a namespace that is not there can be entered")
	}
}
