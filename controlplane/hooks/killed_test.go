package hooks_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// killer ends a leader at its n-th call to AWS or the API server: before the call
// took effect, or after it did and before the answer came back. What it tries
// from then on fails.
type killer struct {
	n     int
	after bool
	kill  context.CancelFunc
	next  http.RoundTripper

	mu      sync.Mutex // guards what follows
	calls   int
	dead    bool
	retired bool // the victim is no more: others' calls pass
}

var errKilled = errors.New("killed")

// call does one call of the victim, unless it dies of it.
func (k *killer) call(do func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errKilled
	}
	k.calls++
	if k.calls != k.n {
		return do()
	}
	k.dead = true
	if k.after {
		_ = do()
	}
	k.kill()
	return errKilled
}

// retire lets the calls of others pass; it reports whether the victim was killed.
func (k *killer) retire() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.retired = true
	return k.dead
}

func (k *killer) isRetired() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.retired
}

// RoundTrip is a call to AWS.
func (k *killer) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if err := k.call(func() (err error) { resp, err = k.next.RoundTrip(r); return err }); err != nil {
		return nil, err
	}
	return resp, nil
}

// TestLeaderKilledInHooks: a leader that dies at any call while it completes a
// launch and drains another instance leaves both to the next one, and each hook
// is completed exactly once.
func TestLeaderKilledInHooks(t *testing.T) {
	boundaries := 0
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			if !killedAt(t, n, after) {
				break
			}
			boundaries++
		}
	}
	if boundaries < 30 {
		t.Errorf("only %d call boundaries", boundaries)
	}
	t.Logf("%d call boundaries", boundaries)
}

// killedAt reports whether the leader made n calls.
func killedAt(t *testing.T, n int, after bool) (reached bool) {
	withRig(t, awssim.GroupSpec{Desired: 1}, func(r *rig) {
		t := r.T
		stop := r.start(policy)
		going, name := r.inService()
		stop()
		r.addPod("cart", name, nil)
		r.setDesired(2)
		bubble.Sleep(6 * time.Second)
		coming := r.member(1)
		r.join(coming, nil)
		r.terminate(going.ID)
		r.want("before", "Terminating:Wait Pending:Wait")
		r.ForgetCalls()

		ctx, kill := context.WithCancel(t.Context())
		k := &killer{n: n, after: after, kill: kill, next: r.Transport()}
		r.Client.PrependReactor("*", "*", func(a clienttesting.Action) (handled bool, obj runtime.Object, err error) {
			if k.isRetired() {
				return false, nil, nil
			}
			err = k.call(func() error {
				if handled, obj, err := r.evictions.Answer(r.Client)(a); handled {
					return keep(&obj, obj, err)
				}
				_, o, err := clienttesting.ObjectReaction(r.Client.Tracker())(a)
				return keep(&obj, o, err)
			})
			return true, obj, err
		})
		cfg := r.Config("controller")
		cfg.HTTPClient = &http.Client{Transport: k}
		cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		done := make(chan struct{})
		victim := r.newLoop(cfg, policy)
		go func() {
			defer close(done)
			_ = victim.Run(ctx)
		}()
		bubble.Sleep(50 * time.Second) // within the hook's timeout: the victim has time for all it does
		kill()
		<-done
		reached = k.retire()
		r.start(policy)
		bubble.Sleep(45 * time.Second)
		r.want("in the end", "InService")
		if r.member(0).ID != coming.ID {
			t.Errorf("call %d, after %t: another instance is in service", n, after)
		}
		if got := r.effective(); got != 2 {
			t.Errorf("call %d, after %t: %d completions took effect, expected one for each instance", n, after, got)
		}
		if got := r.pods(); got != 0 {
			t.Errorf("call %d, after %t: %d pods left", n, after, got)
		}
	})
	return reached
}

func keep(into *runtime.Object, obj runtime.Object, err error) error {
	*into = obj
	return err
}
