package machine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// The signals by which a host asks a guest's systemd for a clean shutdown, as a
// hypervisor does through ACPI (systemd(1), "SIGNALS"): SIGRTMIN+4 and +5,
// where glibc's SIGRTMIN is 34.
const (
	sigPowerOff = unix.Signal(34 + 4)
	sigReboot   = unix.Signal(34 + 5)
)

// State is what a machine does.
type State string

// The states of a machine.
const (
	Running    State = "running"
	Stopped    State = "stopped"
	Terminated State = "terminated"
)

// State returns what the machine does now.
func (m *Machine) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.gone:
		return Terminated
	case m.now == nil || m.now.over():
		return Stopped
	default:
		return Running
	}
}

// running returns the running session.
func (m *Machine) running() (*session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil || m.now.over() {
		return nil, ErrDown
	}
	return m.now, nil
}

// Boots is how often the machine has booted since it was last started.
func (m *Machine) Boots() int {
	s, err := m.running()
	if err != nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boots
}

// Stop powers the machine off and waits until it is down. It keeps its disk,
// its address and its metadata, as a stopped EC2 instance does. A guest that
// does not obey within half a minute, or until ctx ends, loses power. Stopping a
// stopped machine does nothing.
func (m *Machine) Stop(ctx context.Context) error {
	s, err := m.running()
	if errors.Is(err, ErrDown) {
		return nil
	}
	s.ask()
	if err := s.halt(ctx, grace); err != nil {
		return fmt.Errorf("stop %s: %w", m.spec.ID, err)
	}
	return nil
}

// PullPlug takes the machine's power away and waits until it is down: nothing
// inside hears of it. The disk stays.
func (m *Machine) PullPlug(ctx context.Context) error {
	s, err := m.running()
	if err != nil {
		return fmt.Errorf("pull plug of %s: %w", m.spec.ID, err)
	}
	s.ask()
	if err := s.halt(ctx, 0); err != nil {
		return fmt.Errorf("pull plug of %s: %w", m.spec.ID, err)
	}
	return nil
}

// Reboot asks the guest to boot again and waits until it began to.
func (m *Machine) Reboot(ctx context.Context) error {
	s, err := m.running()
	if err != nil {
		return fmt.Errorf("reboot %s: %w", m.spec.ID, err)
	}
	before := m.Boots()
	err = s.signal(ctx, sigReboot, 0, func() bool { return m.Boots() != before })
	if err == nil && s.over() {
		err = ErrDown
	}
	if err != nil {
		return fmt.Errorf("reboot %s: %w", m.spec.ID, err)
	}
	return nil
}

// Terminate powers the machine off, as Stop does, and then deletes it and its
// disk. Terminating twice is fine.
func (m *Machine) Terminate(ctx context.Context) error { return m.terminate(ctx, grace) }

func (m *Machine) terminate(ctx context.Context, patience time.Duration) error {
	m.life.Lock()
	defer m.life.Unlock()
	m.mu.Lock()
	again, s := m.gone, m.now
	m.gone = true
	m.mu.Unlock()
	if again {
		return nil
	}
	var errs []error
	if s != nil && !s.over() {
		s.ask()
		errs = append(errs, s.halt(ctx, patience))
	}
	// Even when the caller's time is up, what is left must be removed.
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if err := m.saveLogs(removing); err != nil {
		m.log.Warn("logs not kept", "err", err)
	}
	errs = append(errs, m.unmake(removing))
	m.host.forget(m)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("terminate %s: %w", m.spec.ID, err)
	}
	return nil
}

// halt powers the guest off and waits. After patience, or when ctx ends, it
// kills the guest's init: nspawn itself must not be killed, that would leave
// the guest running without anybody to look after it.
func (s *session) halt(ctx context.Context, patience time.Duration) error {
	if patience > 0 {
		asking, cancel := context.WithTimeout(ctx, patience)
		err := s.signal(asking, sigPowerOff, time.Second, s.over)
		cancel()
		if err == nil {
			return nil
		}
	}
	killing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	return s.signal(killing, unix.SIGKILL, 200*time.Millisecond, s.over)
}

// signal sends sig to the guest's init as soon as there is one, again after
// each interval (0: once only; an init that just starts may miss one), and waits
// until done or the machine's halt.
func (s *session) signal(ctx context.Context, sig unix.Signal, again time.Duration, done func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var sent time.Time
	for !done() {
		if sent.IsZero() || (again > 0 && time.Since(sent) >= again) {
			if pid := s.leader(); pid > 0 {
				if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
					return fmt.Errorf("signal init: %w", err)
				}
				sent = time.Now()
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for machine: %w", context.Cause(ctx))
		case <-s.done:
			return nil
		case <-tick.C:
		}
	}
	return nil
}
