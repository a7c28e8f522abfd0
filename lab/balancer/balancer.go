// Package balancer is a TCP load balancer that behaves as AWS's Network Load
// Balancer does in front of a cluster's masters: it asks its targets for their
// health, sends new connections to healthy ones in turn, to all of them when
// none is healthy, resets the connections of a target that became unhealthy, and
// lets those of a deregistered one drain.
//
// A connection whose target does not answer is reset and not tried elsewhere.
// Unlike with a Network Load Balancer that preserves client addresses, a target
// may reach itself through it.
package balancer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// State is what a target is to the balancer, by the name that AWS gives it
// (Elastic Load Balancing API Reference, TargetHealth).
type State string

// The states of a target.
const (
	// Initial is a target that has not answered yet, nor failed often enough.
	Initial   State = "initial"
	Healthy   State = "healthy"
	Unhealthy State = "unhealthy"
	// Draining is a deregistered target whose connections may end by themselves.
	Draining State = "draining"
)

// Options says how a Balancer works. Zero fields take the defaults noted.
type Options struct {
	// Dial opens connections to targets; a net.Dialer's.
	Dial DialFunc
	// Check asks a target for its health; nil error: it is well. TCP(Dial).
	Check Check
	// Interval is the time between two checks of a target; 10 s. Timeout is
	// after how long a check has failed; Interval if it is shorter, else 10 s.
	Interval, Timeout time.Duration
	// Rise and Fall are how many checks in a row must succeed to make an
	// unhealthy target healthy, and fail for the contrary; 2. A target that is
	// new needs one success.
	Rise, Fall int
	// Drain is how long the connections of a deregistered target may go on; 5 min.
	Drain time.Duration
	// Log is told of changes of targets' states; nil drops it.
	Log *slog.Logger
}

func (o *Options) setDefaults() {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Check == nil {
		o.Check = TCP(o.Dial)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Interval = cmp.Or(o.Interval, 10*time.Second)
	o.Timeout = cmp.Or(o.Timeout, min(o.Interval, 10*time.Second))
	o.Rise, o.Fall = cmp.Or(o.Rise, 2), cmp.Or(o.Fall, 2)
	o.Drain = cmp.Or(o.Drain, 5*time.Minute)
}

// Balancer spreads connections over targets. It is safe for concurrent use.
type Balancer struct {
	o    Options
	look chan struct{} // asks for a round of checks now

	mu      sync.Mutex
	targets map[netip.AddrPort]*target
	turn    int // of the target that gets the next connection
}

// New returns a balancer without targets.
func New(o Options) *Balancer {
	o.setDefaults()
	return &Balancer{o: o, look: make(chan struct{}, 1), targets: map[netip.AddrPort]*target{}}
}

// Register adds a target, also one that still drains. It gets connections when
// it has proven to be well, or when nobody is. Registering twice changes nothing.
func (b *Balancer) Register(address netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.targets[address]
	switch {
	case t == nil:
		b.targets[address] = newTarget(address)
	case t.state == Draining:
		t.leave.Stop()
		t.state, t.streak = Initial, 0
	default:
		return
	}
	b.o.Log.Info("target registered", "target", address)
	select {
	case b.look <- struct{}{}:
	default: // a round is asked for already
	}
}

// Deregister takes a target out of the rotation at once and resets what is left
// of its connections after Options.Drain.
func (b *Balancer) Deregister(address netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.targets[address]
	if t == nil || t.state == Draining {
		return
	}
	t.state = Draining
	t.leave = time.AfterFunc(b.o.Drain, func() { b.remove(t) })
	b.o.Log.Info("target deregistered", "target", address)
}

// remove ends the draining of t, unless it was registered again.
func (b *Balancer) remove(t *target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.state == Draining && b.targets[t.address] == t {
		delete(b.targets, t.address)
		t.cut()
	}
}

// Targets returns the state of every target.
func (b *Balancer) Targets() map[netip.AddrPort]State {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[netip.AddrPort]State, len(b.targets))
	for a, t := range b.targets {
		out[a] = t.state
	}
	return out
}

// Serve accepts connections on l and checks the targets until ctx ends; then it
// resets every connection, waits for what it started, and returns nil. It closes
// l. Serve a balancer once.
func (b *Balancer) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() { b.watch(ctx) })
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	err := b.accept(ctx, l, &work)
	cancel()
	_ = l.Close() // it may be closed already
	b.cutAll()
	work.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("balance: %w", err)
}

func (b *Balancer) accept(ctx context.Context, l net.Listener, work *sync.WaitGroup) error {
	for {
		client, err := l.Accept()
		if err != nil {
			return err
		}
		work.Go(func() { b.forward(ctx, client) })
	}
}

func (b *Balancer) cutAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.targets {
		if t.leave != nil {
			t.leave.Stop()
		}
		t.cut()
	}
}

// pick chooses the target of a new connection, nil when there is none, and says
// how often its connections were cut so far.
func (b *Balancer) pick() (t *target, cuts int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var open, healthy []*target
	for _, a := range slices.SortedFunc(maps.Keys(b.targets), netip.AddrPort.Compare) {
		t := b.targets[a]
		if t.state != Draining {
			open = append(open, t)
		}
		if t.state == Healthy {
			healthy = append(healthy, t)
		}
	}
	if len(healthy) > 0 {
		open = healthy
	}
	if len(open) == 0 {
		return nil, 0
	}
	b.turn++
	t = open[b.turn%len(open)]
	return t, t.cuts
}
