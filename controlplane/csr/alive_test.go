package csr_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/observe"
	"github.com/joinery/joinery/lab/bubble"
)

// stuck never answers while hold is open, whatever the context says.
type stuck struct{ hold chan struct{} }

func (s stuck) Issued(context.Context, string, time.Time) (bool, error) {
	<-s.hold
	return false, nil
}

// fleetOf finds as many instances, which were just launched, in our VPC.
type fleetOf int

func nodeNameOf(i int) string { return fmt.Sprintf("ip-10-99-0-%d.us-west-2.compute.internal", i+1) }

func (n fleetOf) Instances(context.Context, time.Duration) ([]fleet.Instance, error) {
	var out []fleet.Instance
	for i := range int(n) {
		out = append(out, fleet.Instance{
			ID: fmt.Sprintf("i-%017x", i), State: "pending", VPC: policy.VPC, PrivateIP: fmt.Sprintf("10.99.0.%d", i+1), LaunchTime: time.Now(),
		})
	}
	return out, nil
}

func (fleetOf) ByPrivateIP(context.Context, netip.Addr) ([]fleet.Instance, error)   { return nil, nil }
func (fleetOf) ByID(context.Context, ...string) ([]fleet.Instance, error)           { return nil, nil }
func (fleetOf) Group(context.Context, string, time.Duration) (*fleet.Group, error)  { return nil, nil }
func (fleetOf) Managed(context.Context, time.Duration) ([]fleet.Group, error)       { return nil, nil }
func (fleetOf) Pool(context.Context, string, time.Duration) ([]fleet.Member, error) { return nil, nil }

func TestAliveIsShownByAFreeWorkerOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, s := fake.NewClientset(), stuck{make(chan struct{})}
		const launched = 20 // more than there are workers
		var shown atomic.Int32
		a := csr.NewApprover(csr.Deps{
			Client: client, Store: observe.NewStore(client), Finder: fleetOf(launched), Tokens: s, LegacyTokens: s, Events: record.NewFakeRecorder(100), Metrics: csr.NewMetrics(prometheus.NewRegistry()),
			Log: slog.New(slog.DiscardHandler), Alive: func() { shown.Add(1) },
		}, policy)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		bubble.Sleep(10*time.Minute + time.Second)
		if n := shown.Load(); n < 10 || n > 12 {
			t.Errorf("shown %d times in ten idle minutes", n)
		}
		for i := range launched {
			tmpl := template()
			tmpl.Subject.CommonName = "system:node:" + nodeNameOf(i)
			c := agentRequest(t, encode(t, tmpl, newKey(t)))
			c.Name, c.CreationTimestamp = fmt.Sprint("csr-", i), metav1.Now()
			if _, err := client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		before := shown.Load()
		bubble.Sleep(10 * time.Minute)
		if n := shown.Load(); n != before {
			t.Errorf("shown %d times while every worker hangs", n-before)
		}
		close(s.hold)
		synctest.Wait()
		if shown.Load() == before {
			t.Error("not shown once a worker is free again")
		}
		cancel()
		<-done
	})
}

// faulty panics over what was asked for at one time.
type faulty struct {
	at    metav1.Time
	asked *atomic.Int32 // for anything else
}

func (f faulty) Issued(_ context.Context, _ string, asked time.Time) (bool, error) {
	if asked.Equal(f.at.Time) {
		panic("a request that nobody thought of")
	}
	f.asked.Add(1)
	return false, nil
}

// A request over which judging panics costs its lane a pause, and no other request.
func TestPanicCostsOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, s := fake.NewClientset(), faulty{metav1.NewTime(time.Now().Add(time.Hour)), &atomic.Int32{}}
		a := csr.NewApprover(csr.Deps{
			Client: client, Store: observe.NewStore(client), Finder: fleetOf(1), Tokens: s, LegacyTokens: s, Events: record.NewFakeRecorder(100), Metrics: csr.NewMetrics(prometheus.NewRegistry()),
			Log: slog.New(slog.DiscardHandler),
		}, policy)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		bubble.Sleep(time.Hour)
		for i := range 2 { // the second is judged first, as the newer one
			tmpl := template()
			tmpl.Subject.CommonName = "system:node:" + nodeNameOf(0)
			c := agentRequest(t, encode(t, tmpl, newKey(t)))
			c.Name, c.CreationTimestamp = fmt.Sprint("csr-", i), metav1.NewTime(s.at.Add(time.Duration(i-1)*time.Second))
			if _, err := client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		bubble.Sleep(5 * time.Second)
		if n := s.asked.Load(); n != 1 {
			t.Errorf("the other request of the lane was judged %d times: expected once", n)
		}
		cancel()
		<-done
	})
}
