package vpc

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/netns"
)

func TestPortValidate(t *testing.T) {
	for ip, ok := range map[string]bool{
		"10.99.0.11": true, "10.99.0.4": true, "10.99.0.254": true,
		"10.99.0.1": false, "10.99.0.3": false, "10.99.0.255": false, "10.99.1.11": false, "192.168.0.9": false, "::1": false,
	} {
		if err := (Port{IP: netip.MustParseAddr(ip)}).Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", ip, err)
		}
	}
}

func TestPodSubnet(t *testing.T) {
	if got := PodSubnet(netip.MustParseAddr("10.99.0.23")); got != netip.MustParsePrefix("10.244.23.0/24") {
		t.Error(got)
	}
}

// TestCutAndMend cuts one of two instances off while both hold a connection to
// the router, as to the simulated AWS.
func TestCutAndMend(t *testing.T) {
	labtest.Require(t)
	v, err := Create("jl" + strings.ToLower(rand.Text()[:4]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Delete(); err != nil {
			t.Error(err)
		}
	})
	a, b := Port{Name: "a", IP: netip.MustParseAddr("10.99.0.11")}, Port{Name: "b", IP: netip.MustParseAddr("10.99.0.12")}
	for _, p := range []Port{a, b} {
		if err := v.Attach(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := v.Detach(p); err != nil {
				t.Error(err)
			}
		})
	}
	router := echo(t, v)
	talk := map[string]net.Conn{}
	for _, p := range []Port{a, b} {
		talk[p.Name] = dial(t, v, p, router)
		if !answers(talk[p.Name], time.Minute) {
			t.Fatalf("%s does not reach the router", p.Name)
		}
	}
	for range 2 {
		if err := v.Cut(a); err != nil {
			t.Fatal(err)
		}
	}
	if answers(talk["a"], 300*time.Millisecond) {
		t.Error("a is cut off and is answered")
	}
	if !answers(talk["b"], time.Minute) {
		t.Error("b was cut off along with a")
	}
	for range 2 {
		if err := v.Mend(a); err != nil {
			t.Fatal(err)
		}
	}
	if !answers(dial(t, v, a, router), time.Minute) {
		t.Error("a is not connected again")
	}
}

// echo sends back what comes in on the router and returns its address.
func echo(t *testing.T, v *VPC) string {
	t.Helper()
	l, err := v.Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, v *VPC, from Port, address string) net.Conn {
	t.Helper()
	instance, _ := v.Namespaces(from.Name)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := netns.Dialer(instance)(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func answers(c net.Conn, patience time.Duration) bool {
	_ = c.SetDeadline(time.Now().Add(patience)) // a failure is seen by what follows
	if _, err := c.Write([]byte("x")); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err == nil
}
