// Package host is what the agent does to the machine that it runs on, through
// the machine's own services over D-Bus: systemd for units, hostnamed for the
// host name, logind for inhibitor locks; and through sd_notify to its own
// supervisor. Each call is idempotent. Nothing here decides.
package host

import (
	"context"
	"fmt"
	"sync"

	"github.com/coreos/go-systemd/v22/dbus"

	"github.com/joinery/joinery/systemd"
)

// Units drives systemd. The zero value is ready to use; it connects when it is
// first used, and anew after systemd or the bus went away.
type Units struct {
	mu   sync.Mutex // guards conn
	conn *dbus.Conn
}

// UnitState is how a unit is.
type UnitState struct {
	// Active is the state that all kinds of units have, such as active, failed
	// or activating.
	Active string
	// Sub is the state of its kind, such as running or auto-restart.
	Sub string
	// Restarts is how often systemd started it again by itself.
	Restarts uint32
}

// CrashLooping says that systemd has started the unit again and again.
func (s UnitState) CrashLooping() bool {
	return s.Active == "failed" || s.Restarts >= 3 && s.Sub == "auto-restart" || s.Restarts >= 10
}

func (u *Units) connect(ctx context.Context) (*dbus.Conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil && u.conn.Connected() {
		return u.conn, nil
	}
	if u.conn != nil {
		u.conn.Close()
		u.conn = nil
	}
	// The context that a connection is made with ends it, so it must not be the
	// caller's.
	conn, err := dbus.NewSystemConnectionContext(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	u.conn = conn
	return conn, nil
}

// Close ends the connection.
func (u *Units) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil {
		u.conn.Close()
		u.conn = nil
	}
}

// State returns how a unit is; a unit that does not exist is inactive.
func (u *Units) State(ctx context.Context, unit string) (UnitState, error) {
	conn, err := u.connect(ctx)
	if err != nil {
		return UnitState{}, err
	}
	props, err := conn.GetAllPropertiesContext(ctx, unit)
	if err != nil {
		return UnitState{}, fmt.Errorf("read state of %s: %w", unit, err)
	}
	var s UnitState
	s.Active, _ = props["ActiveState"].(string)
	s.Sub, _ = props["SubState"].(string)
	s.Restarts, _ = props["NRestarts"].(uint32)
	return s, nil
}

// Enable makes systemd start the unit at every boot.
func (u *Units) Enable(ctx context.Context, unit string) error {
	conn, err := u.connect(ctx)
	if err != nil {
		return err
	}
	_, changes, err := conn.EnableUnitFilesContext(ctx, []string{unit}, false, true)
	if err != nil {
		return fmt.Errorf("enable %s: %w", unit, err)
	}
	return u.reload(ctx, conn, len(changes))
}

// Disable undoes Enable.
func (u *Units) Disable(ctx context.Context, unit string) error {
	conn, err := u.connect(ctx)
	if err != nil {
		return err
	}
	changes, err := conn.DisableUnitFilesContext(ctx, []string{unit}, false)
	if err != nil {
		return fmt.Errorf("disable %s: %w", unit, err)
	}
	return u.reload(ctx, conn, len(changes))
}

// reload is needed only after a change: it makes systemd read every unit again.
func (u *Units) reload(ctx context.Context, conn *dbus.Conn, changes int) error {
	if changes == 0 {
		return nil
	}
	if err := conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("reload systemd: %w", err)
	}
	return nil
}

// Start starts the unit and waits until it runs; one that runs already stays
// as it is.
func (u *Units) Start(ctx context.Context, unit string) error {
	return u.job(ctx, "start", unit, (*dbus.Conn).StartUnitContext)
}

// Stop stops the unit and waits until it is stopped. A start that systemd has
// queued is given up.
func (u *Units) Stop(ctx context.Context, unit string) error {
	return u.job(ctx, "stop", unit, (*dbus.Conn).StopUnitContext)
}

type jobFunc func(c *dbus.Conn, ctx context.Context, unit, mode string, done chan<- string) (int, error)

func (u *Units) job(ctx context.Context, verb, unit string, run jobFunc) error {
	conn, err := u.connect(ctx)
	if err != nil {
		return err
	}
	done := make(chan string, 1)
	if _, err := run(conn, ctx, unit, "replace", done); err != nil {
		return fmt.Errorf("%s %s: %w", verb, unit, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", verb, unit, ctx.Err())
	case result := <-done:
		if result != "done" && result != "skipped" {
			return fmt.Errorf("%s %s: systemd says %q", verb, unit, result)
		}
		return nil
	}
}

// Quiet keeps the distribution's own maintenance from running until the next
// boot: its timers are stopped, and they and their services masked. A service
// that runs already is let finish: to stop dpkg half-way breaks packages, and
// the agent itself needs no package lock. Units that an image has not are left
// out. It returns the units that it changed.
func (u *Units) Quiet(ctx context.Context) ([]string, error) {
	conn, err := u.connect(ctx)
	if err != nil {
		return nil, err
	}
	files, err := conn.ListUnitFilesByPatternsContext(ctx, nil, systemd.Maintenance())
	if err != nil {
		return nil, fmt.Errorf("list maintenance units: %w", err)
	}
	changed := unmasked(files)
	if len(changed) == 0 {
		return nil, nil
	}
	for _, unit := range changed {
		if isTimer(unit) {
			if err := u.Stop(ctx, unit); err != nil {
				return nil, err
			}
		}
	}
	if _, err := conn.MaskUnitFilesContext(ctx, changed, true, true); err != nil {
		return nil, fmt.Errorf("mask maintenance units: %w", err)
	}
	return changed, u.reload(ctx, conn, len(changed))
}
