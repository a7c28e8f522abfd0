package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/vpc"
)

// Options says how a run is set up. The zero value is good.
type Options struct {
	// Prefix is the run's name; NewPrefix makes one when it is empty.
	Prefix string
	// Root is where disks are kept; DefaultRoot when empty.
	Root string
	// LogDir takes each machine's console and journal when the machine is
	// terminated or the host closed; empty keeps none.
	LogDir string
	// Services maps virtual addresses of Services to what stands behind them,
	// for every machine; see vpc.Port.
	Services map[string]string
	// Log is told of what machines do by themselves; nil drops it.
	Log *slog.Logger
}

// Host is one run: a private network and the machines in it. It is safe for
// concurrent use.
type Host struct {
	o      Options
	dir    string // the run's own directory below o.Root
	net    *vpc.VPC
	unlock func() // releases the lock that marks the run as alive

	mu       sync.Mutex
	machines map[string]*Machine // id -> machine that is not terminated
	closed   bool
}

// ErrClosed says that the host was closed.
var ErrClosed = errors.New("lab host is closed")

// NewHost starts a run. Close it, or its network stays behind.
func NewHost(o Options) (*Host, error) {
	if why := host.Machines(); why != "" {
		return nil, errors.New(why)
	}
	if o.Prefix == "" {
		o.Prefix = NewPrefix()
	}
	if prefixes.FindString(o.Prefix) != o.Prefix {
		return nil, fmt.Errorf("start lab: prefix %q is not of the form jl and four of a-z2-7", o.Prefix)
	}
	if o.Root == "" {
		o.Root = DefaultRoot
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := allowInotify(); err != nil {
		return nil, fmt.Errorf("start lab %s: %w", o.Prefix, err)
	}
	h := &Host{o: o, dir: filepath.Join(o.Root, o.Prefix), machines: map[string]*Machine{}}
	unlock, err := host.TryLock(filepath.Join(h.dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("start lab %s: %w", o.Prefix, err)
	}
	h.unlock = unlock
	if h.net, err = vpc.Create(o.Prefix); err != nil {
		err = errors.Join(err, os.RemoveAll(h.dir))
		unlock()
		return nil, fmt.Errorf("start lab %s: %w", o.Prefix, err)
	}
	return h, nil
}

// lockName is the file in a run's directory that its living process locks.
const lockName = "lock"

// Prefix is the run's name.
func (h *Host) Prefix() string { return h.o.Prefix }

// Dir is a directory of the run's own that vanishes with it, for image layers
// and the like. Names that begin with "i-" are the machines'.
func (h *Host) Dir() string { return h.dir }

// VPC is the run's network.
func (h *Host) VPC() *vpc.VPC { return h.net }

// Machine returns the machine with the given id, false when there is none or
// it was terminated.
func (h *Host) Machine(id string) (*Machine, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, ok := h.machines[id]
	return m, ok
}

// Machines returns all machines that are not terminated.
func (h *Host) Machines() []*Machine {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*Machine, 0, len(h.machines))
	for _, m := range h.machines {
		out = append(out, m)
	}
	return out
}

func (h *Host) add(m *Machine) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if _, ok := h.machines[m.spec.ID]; ok {
		return fmt.Errorf("a machine called %s exists", m.spec.ID)
	}
	h.machines[m.spec.ID] = m
	return nil
}

func (h *Host) forget(m *Machine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.machines[m.spec.ID] == m {
		delete(h.machines, m.spec.ID)
	}
}

// Close pulls the plug of every machine, keeps their logs, and removes all that
// the run made. ctx bounds how long it waits for things to die; it should not be
// the run's own context, which has often ended by then. Closing twice is fine.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	again := h.closed
	h.closed = true
	h.mu.Unlock()
	if again {
		return nil
	}
	machines := h.Machines()
	errs := make([]error, len(machines))
	var wait sync.WaitGroup
	for i, m := range machines {
		wait.Go(func() { errs[i] = m.terminate(ctx, 0) })
	}
	wait.Wait()
	errs = append(errs, h.net.Delete(), os.RemoveAll(h.dir))
	h.unlock()
	return errors.Join(errs...)
}

// grace is how long a guest may take to power off before its plug is pulled.
const grace = 30 * time.Second
