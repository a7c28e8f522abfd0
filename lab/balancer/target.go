package balancer

import (
	"net"
	"net/netip"
	"time"
)

// target is a registered address. The Balancer's lock guards it.
type target struct {
	address netip.AddrPort
	state   State
	streak  int                   // checks in a row that spoke against state
	conns   map[net.Conn]struct{} // both ends of each connection
	cuts    int                   // how often conns were cut
	leave   *time.Timer           // ends the draining; nil: never deregistered
}

func newTarget(address netip.AddrPort) *target {
	return &target{address: address, state: Initial, conns: map[net.Conn]struct{}{}}
}

// judge returns what a state becomes after one more check, given how many checks
// in a row have spoken against it before.
func judge(s State, streak int, ok bool, rise, fall int) (State, int) {
	switch {
	case s == Initial && ok:
		return Healthy, 0
	case (s == Healthy || s == Draining) && ok, s == Unhealthy && !ok:
		return s, 0
	}
	streak++
	switch {
	case s == Unhealthy && streak >= rise:
		return Healthy, 0
	case (s == Initial || s == Healthy) && streak >= fall:
		return Unhealthy, 0
	}
	return s, streak
}

// cut resets all connections of the target.
func (t *target) cut() {
	for c := range t.conns {
		reset(c)
	}
	clear(t.conns)
	t.cuts++
}

// reset closes c so that its peer sees the connection being reset, as it does
// when a Network Load Balancer ends one.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a connection that has ended
	}
	_ = c.Close() // it may be closed already
}
