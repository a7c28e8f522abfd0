package csr_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// death ends a leader at one of its calls to the API server or to AWS, before or
// after that call takes effect: from then on it does nothing more.
type death struct {
	mu    sync.Mutex
	at    int  // the call that is the last; 0: none
	after bool // it takes effect
	calls int
	dead  bool
	kill  context.CancelFunc
}

var errDead = errors.New("the process is dead")

// step is one call; do is its effect.
func (d *death) step(do func() error) error {
	d.mu.Lock()
	if d.dead {
		d.mu.Unlock()
		return errDead
	}
	d.calls++
	last := d.calls == d.at
	d.dead = last
	d.mu.Unlock()
	if !last {
		return do()
	}
	if d.after {
		_ = do() // the answer reaches nobody
	}
	d.kill()
	return errDead
}

// transport lets calls to AWS through death's hands.
type transport struct {
	*death
	next http.RoundTripper
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var res *http.Response
	err := t.step(func() (err error) { res, err = t.next.RoundTrip(r); return err })
	if err != nil {
		return nil, err
	}
	return res, nil
}

// lead runs an approver until ctx ends or d kills it. The API server's calls pass
// d too, but for watches, which change nothing.
func (r *rig) lead(ctx context.Context, d *death, p csr.Policy) {
	ctx, d.kill = context.WithCancel(ctx)
	defer d.kill()
	cfg := r.Config("controller")
	cfg.RetryMaxAttempts = 1
	through := transport{d, r.Transport()}
	cfg.HTTPClient = &http.Client{Transport: through}
	deps := r.deps(cfg, p)
	deps.Verifier = attest.NewVerifier(cfg, attest.Options{Cluster: simcluster.Name, Roles: []string{"nodes"}, Transport: through})
	deps.Metrics = csr.NewMetrics(prometheus.NewRegistry()) // the next leader has its own
	_ = csr.NewApprover(deps, p).Run(ctx)
}

// killAt plays: an instance asks, the leader dies at call n, another one goes on.
// It returns how many calls the first made, and whether it died.
func killAt(t *testing.T, n int, after bool, ask func(*testing.T, *rig)) (calls int, died bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := policy
		p.VPC, p.Proof = r.instance.VPCID, "require"
		first := &death{at: n, after: after}
		var current atomic.Pointer[death] // what requests meet
		current.Store(first)
		real := clienttesting.ObjectReaction(r.Client.Tracker())
		r.Client.PrependReactor("*", "*", func(a clienttesting.Action) (handled bool, o runtime.Object, err error) {
			if by(a) == "" {
				return false, nil, nil
			}
			err = current.Load().step(func() error { _, o, err = real(a); return err })
			return true, o, err
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.lead(ctx, first, p) }()
		synctest.Wait()
		ask(t, r)
		bubble.Sleep(time.Minute)
		cancel()
		<-done
		calls, died = first.calls, first.dead
		second := &death{}
		current.Store(second)
		ctx, cancel = context.WithCancel(t.Context())
		done = make(chan struct{})
		go func() { defer close(done); r.lead(ctx, second, p) }()
		bubble.Sleep(5 * time.Minute)
		cancel()
		<-done
		r.checkOnce(t, fmt.Sprintf("killed at call %d (after it: %t)", n, after))
	})
	return calls, died
}

// by says whose call an action is: tests write requests and nodes, the approver
// everything else.
func by(a clienttesting.Action) string {
	if a.GetResource().Resource == "certificatesigningrequests" && (a.GetVerb() == "create" || a.GetVerb() == "list") {
		return ""
	}
	if a.GetResource().Resource == "nodes" && (a.GetVerb() == "create" || a.GetVerb() == "list") {
		return ""
	}
	return "approver"
}

// checkOnce wants one approved request, and one certificate remembered.
func (r *rig) checkOnce(t *testing.T, what string) {
	t.Helper()
	r.Client.ReactionChain = r.Client.ReactionChain[1:] // the test's own eyes
	c, err := r.Client.CertificatesV1().CertificateSigningRequests().Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	approved := 0
	for _, k := range c.Status.Conditions {
		if k.Type == certificatesv1.CertificateApproved {
			approved++
		}
	}
	if approved != 1 || len(c.Status.Conditions) != 1 {
		t.Errorf("%s: conditions %+v: expected one approval", what, c.Status.Conditions)
	}
	grants, err := csr.NewGrants(r.Client.CoreV1().ConfigMaps("kube-system"), time.Hour).All(t.Context())
	if err != nil || len(grants) != 1 || len(grants[r.instance.ID].Keys) != 1 {
		t.Errorf("%s: grants %+v, %v: expected one for one key", what, grants, err)
	}
}

// Whatever call of an approval the leader dies at, the next leader finishes it, and
// the launch is remembered to have been given one certificate.
func TestLeaderKilledInApproval(t *testing.T) {
	ask := func(t *testing.T, r *rig) { r.askProven(t, "a", r.instance.PrivateDNSName, time.Second) }
	for _, after := range []bool{false, true} {
		boundaries := 0
		for n := 1; ; n++ {
			calls, died := killAt(t, n, after, ask)
			if !died {
				if calls != boundaries {
					t.Errorf("%d calls in a whole approval, %d boundaries tried", calls, boundaries)
				}
				break
			}
			boundaries = n
		}
		if boundaries < 8 {
			t.Errorf("an approval of %d calls: the test does not see them", boundaries)
		}
		t.Logf("%d boundaries", boundaries)
	}
}
