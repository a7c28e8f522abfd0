package balancer

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// DialFunc opens a connection to a literal address.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Check asks a target for its health until ctx ends; nil: it is well.
type Check func(ctx context.Context, target netip.AddrPort) error

// TCP is the check that a connection can be opened.
func TCP(dial DialFunc) Check {
	return func(ctx context.Context, target netip.AddrPort) error {
		c, err := dial(ctx, "tcp", target.String())
		if err != nil {
			return fmt.Errorf("check %s: %w", target, err)
		}
		return c.Close()
	}
}

// HTTPS is the check that GET path is answered with a status from 200 to 399.
// As AWS does, it takes whatever certificate the target shows and sends none; a
// new connection is made each time.
func HTTPS(dial DialFunc, path string) Check {
	client := &http.Client{
		Transport: &http.Transport{
			DialContext: dial, DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, target netip.AddrPort) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+target.String()+path, nil)
		if err != nil {
			return fmt.Errorf("check %s: %w", target, err)
		}
		res, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("check %s: %w", target, err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // the status is the answer
		if res.StatusCode < 200 || res.StatusCode > 399 {
			return fmt.Errorf("check %s: status %d", target, res.StatusCode)
		}
		return nil
	}
}

// watch checks all targets at each interval until ctx ends.
func (b *Balancer) watch(ctx context.Context) {
	tick := time.NewTicker(b.o.Interval)
	defer tick.Stop()
	for {
		b.checkAll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.look:
		}
	}
}

func (b *Balancer) checkAll(ctx context.Context) {
	b.mu.Lock()
	var all []*target
	for _, t := range b.targets {
		all = append(all, t)
	}
	b.mu.Unlock()
	var checks sync.WaitGroup
	for _, t := range all {
		checks.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, b.o.Timeout)
			defer cancel()
			if err := b.o.Check(bounded, t.address); ctx.Err() == nil {
				b.record(t, err)
			}
		})
	}
	checks.Wait()
}

// record takes one check into account. A target that does not answer while it
// drains loses its connections at the same point as any other.
func (b *Balancer) record(t *target, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := t.state
	t.state, t.streak = judge(before, t.streak, err == nil, b.o.Rise, b.o.Fall)
	if t.state == Unhealthy && before != Unhealthy || t.state == Draining && t.streak >= b.o.Fall {
		t.cut()
	}
	if t.state != before {
		b.o.Log.Info("target changed", "target", t.address, "from", before, "to", t.state, "error", err)
	}
}
