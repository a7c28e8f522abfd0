package leader_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/internal/wait"
	"github.com/joinery/joinery/lab/bubble"
)

// candidate is a running election with one service.
type candidate struct {
	*leader.Election
	working atomic.Int32
	stop    context.CancelFunc
	done    chan error
}

func stand(t *testing.T, client *fake.Clientset, name string) *candidate {
	c := &candidate{Election: leader.NewElection(client, name, slog.New(slog.DiscardHandler)), done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	c.stop = cancel
	go func() {
		c.done <- c.Run(ctx, leader.Service{Name: "work", Run: func(ctx context.Context) error {
			c.working.Add(1)
			defer c.working.Add(-1)
			<-ctx.Done()
			return ctx.Err()
		}})
	}()
	synctest.Wait()
	return c
}

func TestOneWorksAndHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		a := stand(t, client, "a")
		b := stand(t, client, "b")
		bubble.Sleep(time.Minute)
		if a.working.Load() != 1 || b.working.Load() != 0 || !a.Leading() || b.Leading() {
			t.Fatalf("working: a %d, b %d", a.working.Load(), b.working.Load())
		}
		a.stop()
		if err := <-a.done; err != nil {
			t.Errorf("a ended with %v", err)
		}
		if a.working.Load() != 0 {
			t.Error("a gave the Lease back while it still worked")
		}
		// Given back, not expired: well under the Lease's 10 s.
		bubble.Sleep(5 * time.Second)
		if b.working.Load() != 1 {
			t.Error("b did not take over")
		}
		b.stop()
		<-b.done
	})
}

func TestStandbyStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		a, b := stand(t, client, "a"), stand(t, client, "b")
		b.stop()
		if err := <-b.done; err != nil {
			t.Errorf("b ended with %v", err)
		}
		a.stop()
		<-a.done
	})
}

func TestLosingTheLeaseEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		var away atomic.Bool
		client.PrependReactor("update", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			return away.Load(), nil, errors.New("API server is away")
		})
		a := stand(t, client, "a")
		away.Store(true)
		began := time.Now()
		if err := <-a.done; !errors.Is(err, leader.ErrLost) {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("gave up after %s: another master may lead 10 s after a renewal", took)
		}
		synctest.Wait()
		if a.working.Load() != 0 {
			t.Error("works on without the Lease")
		}
	})
}

// slowly returns err after a while.
func slowly(ctx context.Context, err error) error {
	return cmp.Or(wait.For(ctx, 4*time.Second), err)
}

// An API server that hangs must not keep the services of a lost Lease alive: the
// next master may lead 10 s after the last renewal.
func TestServicesStopInTimeWhileTheAPIServerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		var hangs atomic.Bool
		hang := func(clienttesting.Action) (bool, runtime.Object, error) {
			if !hangs.Load() {
				return false, nil, nil
			}
			// No divisor of client-go's deadline: at the very instant of it another
			// attempt may begin, and this one heeds no context.
			return true, nil, slowly(t.Context(), errors.New("timeout"))
		}
		client.PrependReactor("*", "leases", hang)
		a := stand(t, client, "a")
		hangs.Store(true)
		bubble.Sleep(9 * time.Second)
		if a.working.Load() != 0 {
			t.Error("works on while another master may lead")
		}
		if err := <-a.done; !errors.Is(err, leader.ErrLost) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestAFailingServiceDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		var tries, works atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- leader.NewElection(client, "a", slog.New(slog.DiscardHandler)).Run(ctx,
				leader.Service{Name: "bad", Run: func(context.Context) error {
					tries.Add(1)
					return errors.New("no launch template")
				}},
				leader.Service{Name: "good", Run: func(ctx context.Context) error {
					works.Add(1)
					<-ctx.Done()
					return nil
				}})
		}()
		bubble.Sleep(2 * time.Minute)
		if n := tries.Load(); n < 5 || n > 10 {
			t.Errorf("the failing service was tried %d times in two minutes", n)
		}
		if works.Load() != 1 {
			t.Errorf("the good service was started %d times", works.Load())
		}
		cancel()
		<-done
		lease, err := client.CoordinationV1().Leases("kube-system").Get(t.Context(), leader.LeaseName, metav1.GetOptions{})
		if err != nil || held(lease) {
			t.Errorf("lease %+v: %v: expected it to be given back", lease, err)
		}
	})
}

func held(l *coordinationv1.Lease) bool {
	return l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity != ""
}
