package balancer

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// connectTimeout is after how long a target that does not answer a new
// connection costs the client that connection.
const connectTimeout = 10 * time.Second

// forward carries one connection from its client to a target and back.
func (b *Balancer) forward(ctx context.Context, client net.Conn) {
	t, cuts := b.pick()
	if t == nil {
		reset(client)
		return
	}
	dialing, cancel := context.WithTimeout(ctx, connectTimeout)
	server, err := b.o.Dial(dialing, "tcp", t.address.String())
	cancel()
	if err != nil {
		b.o.Log.Debug("connection refused", "target", t.address, "error", err)
		reset(client)
		return
	}
	if !b.enter(ctx, t, cuts, client, server) {
		reset(client)
		reset(server)
		return
	}
	defer b.leave(t, client, server)
	var both sync.WaitGroup
	both.Go(func() { carry(server, client) })
	both.Go(func() { carry(client, server) })
	both.Wait()
}

// enter makes the connection one that can be cut. It is refused when the
// target's connections were cut while it was dialled: nobody would cut it then.
func (b *Balancer) enter(ctx context.Context, t *target, cuts int, ends ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ctx.Err() != nil || t.cuts != cuts {
		return false
	}
	for _, c := range ends {
		t.conns[c] = struct{}{}
	}
	return true
}

func (b *Balancer) leave(t *target, ends ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range ends {
		delete(t.conns, c)
		_ = c.Close() // it may be closed already
	}
}

// carry copies one direction and passes its end on: a client that has sent all
// may still be waiting for the answer. What ends in an error ends both ways.
func carry(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if tcp, ok := to.(*net.TCPConn); err == nil && ok {
		if err = tcp.CloseWrite(); err == nil || errors.Is(err, net.ErrClosed) {
			return
		}
	}
	reset(to)
	reset(from)
}
