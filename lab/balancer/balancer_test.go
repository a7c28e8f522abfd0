package balancer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/balancer"
)

// backend greets each connection with its name and then echoes lines.
type backend struct {
	name    string
	address netip.AddrPort
	sick    atomic.Bool // its checks fail; connections are served all the same
	got     atomic.Int32
}

func newBackend(t *testing.T, name string) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	b := &backend{name: name, address: netip.MustParseAddrPort(l.Addr().String())}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.got.Add(1)
			go func() {
				defer c.Close()
				fmt.Fprintln(c, name)
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return b
}

// world is a balancer in front of backends whose checks can be scripted.
type world struct {
	*balancer.Balancer
	address string
	served  chan error
	stop    context.CancelFunc
}

func start(t *testing.T, drain time.Duration, backends ...*backend) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	byAddress := map[netip.AddrPort]*backend{}
	for _, b := range backends {
		byAddress[b.address] = b
	}
	w := &world{address: l.Addr().String(), served: make(chan error, 1), Balancer: balancer.New(balancer.Options{
		Interval: 5 * time.Millisecond, Timeout: time.Minute, Drain: drain,
		Check: func(_ context.Context, target netip.AddrPort) error {
			if b := byAddress[target]; b == nil || b.sick.Load() {
				return errors.New("sick")
			}
			return nil
		},
	})}
	ctx, cancel := context.WithCancel(t.Context())
	w.stop = cancel
	go func() { w.served <- w.Serve(ctx, l) }()
	for _, b := range backends {
		w.Register(b.address)
	}
	return w
}

func (w *world) await(t *testing.T, b *backend, want balancer.State) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for w.Targets()[b.address] != want {
		if time.Now().After(deadline) {
			t.Fatalf("%s is %q: expected %q", b.name, w.Targets()[b.address], want)
		}
		time.Sleep(time.Millisecond)
	}
}

// conn is a client's connection and the backend that greeted it.
type conn struct {
	net.Conn
	lines *bufio.Reader
	with  string
}

// open connects; an error is what the client saw before it was greeted.
func (w *world) open(t *testing.T) (*conn, error) {
	t.Helper()
	c, err := net.Dial("tcp", w.address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	out := &conn{Conn: c, lines: bufio.NewReader(c)}
	out.with, err = out.read()
	return out, err
}

func (c *conn) read() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	line, err := c.lines.ReadString('\n')
	return strings.TrimSpace(line), err
}

func (c *conn) echoes(t *testing.T) {
	t.Helper()
	fmt.Fprintln(c, "ping")
	if got, err := c.read(); got != "ping" || err != nil {
		t.Errorf("the connection with %s answers %q, %v", c.with, got, err)
	}
}

// isReset waits for the connection's end, which must be a reset.
func (c *conn) isReset(t *testing.T) {
	t.Helper()
	if _, err := c.read(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection with %s ended with %v: expected a reset", c.with, err)
	}
}

func TestHealthyTargetsTakeTurns(t *testing.T) {
	a, b, sick := newBackend(t, "a"), newBackend(t, "b"), newBackend(t, "sick")
	sick.sick.Store(true)
	w := start(t, time.Minute, a, b, sick)
	for _, x := range []*backend{a, b} {
		w.await(t, x, balancer.Healthy)
	}
	w.await(t, sick, balancer.Unhealthy)
	got := map[string]int{}
	for range 10 {
		c, err := w.open(t)
		if err != nil {
			t.Fatal(err)
		}
		c.echoes(t)
		got[c.with]++
	}
	if got["a"] != 5 || got["b"] != 5 {
		t.Errorf("connections went to %v", got)
	}
}

func TestUnhealthyTargetLosesItsConnections(t *testing.T) {
	a, b := newBackend(t, "a"), newBackend(t, "b")
	w := start(t, time.Minute, a, b)
	w.await(t, a, balancer.Healthy)
	w.await(t, b, balancer.Healthy)
	var mine = map[string]*conn{}
	for len(mine) < 2 {
		c, err := w.open(t)
		if err != nil {
			t.Fatal(err)
		}
		mine[c.with] = c
	}
	a.sick.Store(true)
	w.await(t, a, balancer.Unhealthy)
	mine["a"].isReset(t)
	mine["b"].echoes(t)
	before := a.got.Load()
	for range 4 {
		if c, err := w.open(t); err != nil || c.with != "b" {
			t.Errorf("a new connection: %v", err)
		}
	}
	if a.got.Load() != before {
		t.Error("an unhealthy target got a connection")
	}
	a.sick.Store(false)
	w.await(t, a, balancer.Healthy)
	mine["b"].echoes(t)
}

func TestWithoutAHealthyTargetAllAreTried(t *testing.T) {
	a := newBackend(t, "a")
	a.sick.Store(true)
	w := start(t, time.Minute, a)
	w.await(t, a, balancer.Unhealthy)
	c, err := w.open(t)
	if err != nil {
		t.Fatal(err)
	}
	c.echoes(t)
}

func TestDeregisteredTargetDrains(t *testing.T) {
	a, b := newBackend(t, "a"), newBackend(t, "b")
	// Long enough for a busy machine to do what follows before the drain ends.
	w := start(t, 3*time.Second, a)
	w.await(t, a, balancer.Healthy)
	old, err := w.open(t)
	if err != nil {
		t.Fatal(err)
	}
	w.Deregister(a.address)
	w.Register(b.address) // no check is scripted for it: it is tried as nobody is healthy
	if got := w.Targets()[a.address]; got != balancer.Draining {
		t.Errorf("state %q", got)
	}
	old.echoes(t)
	if c, err := w.open(t); err != nil || c.with != "b" {
		t.Errorf("a draining target got a connection (%v)", err)
	}
	old.isReset(t)
	if _, still := w.Targets()[a.address]; still {
		t.Error("it drains for ever")
	}
}

func TestDrainingTargetThatIsUnreachableIsCut(t *testing.T) {
	a := newBackend(t, "a")
	w := start(t, time.Hour, a)
	w.await(t, a, balancer.Healthy)
	old, err := w.open(t)
	if err != nil {
		t.Fatal(err)
	}
	w.Deregister(a.address)
	a.sick.Store(true)
	old.isReset(t)
}

func TestRegisteredAgainWhileItDrains(t *testing.T) {
	a := newBackend(t, "a")
	w := start(t, time.Hour, a)
	w.await(t, a, balancer.Healthy)
	old, err := w.open(t)
	if err != nil {
		t.Fatal(err)
	}
	w.Deregister(a.address)
	w.Register(a.address)
	w.await(t, a, balancer.Healthy)
	old.echoes(t)
}

func TestNobodyToForwardTo(t *testing.T) {
	a := newBackend(t, "a")
	w := start(t, 0, a)
	w.await(t, a, balancer.Healthy)
	w.Deregister(a.address)
	if _, err := w.open(t); err == nil {
		t.Error("a connection to nobody was greeted")
	}
}

// A client that has sent everything still gets its answer.
func TestHalfClosedConnection(t *testing.T) {
	a := newBackend(t, "a")
	w := start(t, 0, a)
	w.await(t, a, balancer.Healthy)
	c, err := w.open(t)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "last words")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c.lines); err != nil || string(got) != "last words" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestServeEndsWithEverything(t *testing.T) {
	a := newBackend(t, "a")
	w := start(t, 0, a)
	w.await(t, a, balancer.Healthy)
	c, err := w.open(t)
	if err != nil {
		t.Fatal(err)
	}
	w.stop()
	if err := <-w.served; err != nil {
		t.Errorf("ended with %v", err)
	}
	c.isReset(t)
	if _, err := net.Dial("tcp", w.address); err == nil {
		t.Error("it listens on")
	}
}

func TestChecks(t *testing.T) {
	var status atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(int(status.Load()))
	}))
	target := netip.MustParseAddrPort(s.Listener.Addr().String())
	dial := new(net.Dialer).DialContext
	https, tcp := balancer.HTTPS(dial, "/readyz"), balancer.TCP(dial)
	for code, well := range map[int]bool{200: true, 204: true, 302: true, 401: false, 500: false, 503: false} {
		status.Store(int32(code))
		if err := https(t.Context(), target); (err == nil) != well {
			t.Errorf("status %d: %v", code, err)
		}
	}
	if err := tcp(t.Context(), target); err != nil {
		t.Error(err)
	}
	s.Close()
	for name, check := range map[string]balancer.Check{"HTTPS": https, "TCP": tcp} {
		if err := check(t.Context(), target); err == nil {
			t.Errorf("%s: nobody answers and all is well", name)
		}
	}
}
