package leader_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/lab/bubble"
)

// versioned makes the fake check resource versions of Leases, as etcd does; the
// fake by itself lets every update pass.
func versioned(client *fake.Clientset) *atomic.Int64 {
	var version, conflicts atomic.Int64
	version.Store(1)
	stamp := func(o runtime.Object) { o.(*coordinationv1.Lease).ResourceVersion = itoa(version.Add(1)) }
	client.PrependReactor("create", "leases", func(a clienttesting.Action) (bool, runtime.Object, error) {
		stamp(a.(clienttesting.CreateAction).GetObject())
		return false, nil, nil
	})
	client.PrependReactor("update", "leases", func(a clienttesting.Action) (bool, runtime.Object, error) {
		o := a.(clienttesting.UpdateAction).GetObject()
		if got := o.(*coordinationv1.Lease).ResourceVersion; got != itoa(version.Load()) {
			conflicts.Add(1)
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, leader.LeaseName, errors.New("version "+got))
		}
		stamp(o)
		return false, nil, nil
	})
	return &conflicts
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestConfirmHoldsForTheLeaderOnlyAndDisturbsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		conflicts := versioned(client)
		a, b := stand(t, client, "a"), stand(t, client, "b")
		for range 100 {
			bubble.Sleep(700 * time.Millisecond)
			if err := a.Confirm(t.Context()); err != nil {
				t.Fatalf("the leader: %v", err)
			}
			if err := b.Confirm(t.Context()); !errors.Is(err, leader.ErrLost) {
				t.Fatalf("the other: %v", err)
			}
		}
		if a.working.Load() != 1 || b.working.Load() != 0 {
			t.Errorf("working: a %d, b %d", a.working.Load(), b.working.Load())
		}
		if conflicts.Load() == 0 {
			t.Error("no renewal met a confirmation: the test shows nothing")
		}
		a.stop()
		b.stop()
		<-a.done
		<-b.done
	})
}

func TestConfirmFailsForWhoWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		versioned(client)
		a := stand(t, client, "a")
		l, err := client.CoordinationV1().Leases("kube-system").Get(t.Context(), leader.LeaseName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		other := "b"
		l.Spec.HolderIdentity = &other
		if _, err := client.CoordinationV1().Leases("kube-system").Update(t.Context(), l, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		// a's elector has not looked yet, as in a process that has just woken.
		if err := a.Confirm(t.Context()); !a.Leading() || !errors.Is(err, leader.ErrLost) {
			t.Errorf("leading %t: %v", a.Leading(), err)
		}
		<-a.done
	})
}

func TestConfirmTellsAnOutageFromALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		ctx, cancel := context.WithCancel(t.Context())
		e, done := leader.NewElection(client, "a", slog.New(slog.DiscardHandler)), make(chan error, 1)
		go func() {
			done <- e.Run(ctx, leader.Service{Name: "work", Run: func(ctx context.Context) error { <-ctx.Done(); return nil }})
		}()
		synctest.Wait()
		var away atomic.Bool
		client.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			return away.Load(), nil, errors.New("connection refused")
		})
		away.Store(true)
		if err := e.Confirm(t.Context()); err == nil || errors.Is(err, leader.ErrLost) {
			t.Errorf("got %v", err)
		}
		away.Store(false)
		cancel()
		<-done
	})
}
