package netns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// directory is where ip-netns(8) keeps namespaces, so that "ip netns exec" and
// people find the lab's too.
const directory = "/run/netns"

// Path returns the file that holds the namespace called name open.
func Path(name string) string { return filepath.Join(directory, name) }

// Create makes the namespace called name with its loopback down.
func Create(name string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return fmt.Errorf("create network namespace: %w", err)
	}
	f, err := os.OpenFile(Path(name), os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return fmt.Errorf("create network namespace: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create network namespace: %w", err)
	}
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", Path(name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		return nil
	})
	if err != nil {
		return errors.Join(fmt.Errorf("create network namespace %s: %w", name, err), Delete(name))
	}
	return nil
}

// Delete takes the namespace's name away. The namespace itself goes with its
// last process and socket. Deleting what is not there is no error.
func Delete(name string) error {
	err := unix.Unmount(Path(name), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount network namespace %s: %w", name, err)
	}
	if err := os.Remove(Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete network namespace: %w", err)
	}
	return nil
}

// List returns the names of all namespaces that start with prefix.
func List(prefix string) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// Do runs f inside the namespace called name. f must not hand work that opens
// sockets to other goroutines: they run outside.
func Do(name string, f func() error) error {
	target, err := os.Open(Path(name))
	if err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer target.Close()
	return onThread(func() error {
		if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", name, err)
		}
		return f()
	})
}

// onThread runs f on a thread whose network namespace f may change. If the way
// back fails the thread stays locked to a goroutine that ends, which makes the
// runtime destroy it: no other goroutine can ever run in the wrong namespace.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("open own network namespace: %w", err)
			return
		}
		defer home.Close()
		err = f()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			result <- errors.Join(err, fmt.Errorf("leave network namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
		result <- err
	}()
	return <-result
}

// Start starts cmd inside the namespace called name.
func Start(name string, cmd *exec.Cmd) error {
	return Do(name, cmd.Start)
}

// Dialer returns a dial function for clients that must reach the namespace
// called name. It dials IP addresses only, as there is no name service inside.
func Dialer(name string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("dial inside %s: %w", name, err)
		}
		// A name would be looked up, and perhaps dialled, on other threads.
		if net.ParseIP(host) == nil {
			return nil, fmt.Errorf("dial inside %s: %q is not an IP address", name, host)
		}
		var conn net.Conn
		err = Do(name, func() error {
			var err error
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}

// Listen opens a TCP listener on address inside the namespace called name. A
// ttl above zero limits how many hops its answers travel.
func Listen(ctx context.Context, name, address string, ttl int) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if ttl <= 0 {
			return nil
		}
		var set error
		err := c.Control(func(fd uintptr) {
			// Accepted connections inherit it (ip(7)).
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl)
		})
		return errors.Join(err, set)
	}}
	config.SetMultipathTCP(false) // IP_TTL of an MPTCP socket does not reach its subflows on every kernel
	var l net.Listener
	err := Do(name, func() error {
		var err error
		l, err = config.Listen(ctx, "tcp4", address)
		return err
	})
	return l, err
}
