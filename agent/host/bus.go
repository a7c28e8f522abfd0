package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// Bus talks to hostnamed, logind and systemd's manager. The zero value is ready
// to use; it connects when it is first used, and anew when the bus went away.
type Bus struct {
	mu   sync.Mutex // guards conn
	conn *dbus.Conn
}

func (b *Bus) connect() (*dbus.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && b.conn.Connected() {
		return b.conn, nil
	}
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, fmt.Errorf("connect to the system bus: %w", err)
	}
	b.conn = conn
	return conn, nil
}

// Close ends the connection.
func (b *Bus) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		_ = b.conn.Close()
		b.conn = nil
	}
}

const (
	hostname1 = "org.freedesktop.hostname1"
	login1    = "org.freedesktop.login1"
	systemd1  = "org.freedesktop.systemd1"
)

// SetHostname makes name the machine's static host name, which outlives
// reboots, and the kernel's host name, which a DHCP client may have set to
// another. It changes nothing where both are right.
func (b *Bus) SetHostname(ctx context.Context, name string) error {
	conn, err := b.connect()
	if err != nil {
		return err
	}
	o := conn.Object(hostname1, "/org/freedesktop/hostname1")
	for _, side := range []struct{ property, method string }{{"StaticHostname", "SetStaticHostname"}, {"Hostname", "SetHostname"}} {
		have, err := property[string](ctx, o, hostname1, side.property)
		if err != nil {
			return fmt.Errorf("read host name: %w", err)
		}
		if have == name {
			continue
		}
		if err := o.CallWithContext(ctx, hostname1+"."+side.method, 0, name, false).Err; err != nil {
			return fmt.Errorf("set host name %s: %w", name, err)
		}
	}
	return nil
}

// BootStarted returns when this boot began: when the kernel started, or, in a
// container, when systemd did.
func (b *Bus) BootStarted(ctx context.Context) (time.Time, error) {
	conn, err := b.connect()
	if err != nil {
		return time.Time{}, err
	}
	o := conn.Object(systemd1, "/org/freedesktop/systemd1")
	for _, name := range []string{"KernelTimestamp", "UserspaceTimestamp"} {
		usec, err := property[uint64](ctx, o, systemd1+".Manager", name)
		if err != nil {
			return time.Time{}, fmt.Errorf("read when the boot began: %w", err)
		}
		if usec != 0 {
			return time.UnixMicro(int64(usec)), nil
		}
	}
	return time.Time{}, errors.New("read when the boot began: systemd does not know")
}

// Inhibitor is a lock that keeps the machine from being shut down or put to
// sleep ("Inhibitor Locks" of systemd).
type Inhibitor struct {
	// What is held back, such as shutdown:sleep.
	What string
	// Who holds the lock.
	Who string
	// Why it is held.
	Why string
	// Mode is block, block-weak or delay.
	Mode string
	// UID and PID of the holder.
	UID, PID uint32
}

// Holds says that the lock means that the machine must not go away: mode block
// on shutdown. Delay locks are taken for a moment's notice by daemons that
// always run, the kubelet among them, and a weak lock does not bind root.
func (i Inhibitor) Holds() bool {
	return i.Mode == "block" && slices.Contains(strings.Split(i.What, ":"), "shutdown")
}

// Inhibitors lists the locks that logind knows.
func (b *Bus) Inhibitors(ctx context.Context) ([]Inhibitor, error) {
	conn, err := b.connect()
	if err != nil {
		return nil, err
	}
	var list []Inhibitor
	call := conn.Object(login1, "/org/freedesktop/login1").CallWithContext(ctx, login1+".Manager.ListInhibitors", 0)
	if err := call.Store(&list); err != nil {
		return nil, fmt.Errorf("list inhibitor locks: %w", err)
	}
	return list, nil
}

func property[T any](ctx context.Context, o dbus.BusObject, iface, name string) (T, error) {
	var v dbus.Variant
	var none T
	if err := o.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, iface, name).Store(&v); err != nil {
		return none, fmt.Errorf("property %s: %w", name, err)
	}
	value, ok := v.Value().(T)
	if !ok {
		return none, fmt.Errorf("property %s: is a %s: expected a %T", name, v.Signature(), none)
	}
	return value, nil
}
