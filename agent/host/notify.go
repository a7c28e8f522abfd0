package host

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notifier tells the agent's supervisor how it does (sd_notify). Where there is
// no supervisor every method does nothing.
type Notifier struct {
	log   *slog.Logger
	ready sync.Once
	mu    sync.Mutex // guards until
	until time.Time  // the work at hand will have made progress by then
}

// NewNotifier returns a Notifier that logs what it cannot send.
func NewNotifier(log *slog.Logger) *Notifier { return &Notifier{log: log} }

// Ready says that the agent is up: units that come after it may start. Only the
// first call counts.
func (n *Notifier) Ready() { n.ready.Do(func() { n.send(daemon.SdNotifyReady) }) }

// Stopping says that the agent is on its way out.
func (n *Notifier) Stopping() { n.send(daemon.SdNotifyStopping) }

// Status says in one line what the agent does or waits for, for systemctl status.
func (n *Notifier) Status(text string) {
	n.send("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// Expect says that the caller will call again within d. Once that is past, the
// watchdog is no longer fed, so that a supervisor restarts an agent that hangs
// in a call and not only one whose threads are all stuck.
func (n *Notifier) Expect(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.until = time.Now().Add(d)
}

func (n *Notifier) onTime() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.until.IsZero() || time.Now().Before(n.until)
}

// Watch feeds the watchdog of the supervisor, if it asked for that
// (WatchdogSec), until ctx ends.
func (n *Notifier) Watch(ctx context.Context) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read watchdog settings: %w", err)
	}
	if every == 0 {
		<-ctx.Done()
		return nil
	}
	n.feed(ctx, every/3, func() { n.send(daemon.SdNotifyWatchdog) })
	return nil
}

func (n *Notifier) feed(ctx context.Context, every time.Duration, ping func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if n.onTime() {
			ping()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *Notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("notify supervisor", "error", err)
	}
}
