package drain_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/kube"
)

// evicted is an eviction as the API server saw it.
type evicted struct {
	at    time.Duration // since the drain began
	grace time.Duration // that the pod got
}

// endSlowly has an evicted pod take its whole grace period, and returns what was evicted.
func (r *rig) endSlowly() map[string]evicted {
	began, all := time.Now(), map[string]evicted{}
	r.client.PrependReactor("create", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		e, ok := a.(clienttesting.CreateAction).GetObject().(*policyv1.Eviction)
		if !ok || r.answers[e.Name] != nil {
			return false, nil, nil
		}
		obj, err := r.client.Tracker().Get(a.GetResource(), e.Namespace, e.Name)
		if err != nil {
			return true, nil, err
		}
		p := obj.(*corev1.Pod).DeepCopy()
		grace := kube.Grace(p)
		if s := e.DeleteOptions.GracePeriodSeconds; s != nil {
			grace = time.Duration(*s) * time.Second
		}
		all[e.Name] = evicted{time.Since(began), grace}
		p.DeletionTimestamp = &metav1.Time{Time: time.Now().Add(grace)}
		time.AfterFunc(grace, func() { _ = r.client.Tracker().Delete(a.GetResource(), e.Namespace, e.Name) })
		return true, nil, r.client.Tracker().Update(a.GetResource(), p, e.Namespace)
	})
	return all
}

func graceOf(d time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		seconds := int64(d / time.Second)
		p.Spec.TerminationGracePeriodSeconds = &seconds
	}
}

func priority(n int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Priority = &n }
}

// A pod that was evicted in time has its grace period, however long: giving up then would
// keep the node without the pod.
func TestEmptyWaitsForTheLongestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pod("quick", graceOf(5*time.Second)), pod("slow", graceOf(time.Hour)))
		r.endSlowly()
		began := time.Now()
		if err := r.evictor(true).Empty(t.Context(), "n", time.Minute, nothing); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < time.Hour || took > time.Hour+2*time.Second {
			t.Errorf("took %s, want the longest grace period", took)
		}
	})
}

// A pod that is refused for the whole time ends the drain, whatever else is ending.
func TestEmptyDoesNotWaitForGraceWhileOneIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pod("kept"), pod("slow", graceOf(time.Hour)))
		r.answers["kept"] = budget
		r.endSlowly()
		began := time.Now()
		err := r.evictor(true).Empty(t.Context(), "n", time.Minute, nothing)
		var late *drain.TimeoutError
		if !errors.As(err, &late) || late.Left != 2 || len(late.Refusals) != 1 {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 62*time.Second {
			t.Errorf("took %s, want a minute", took)
		}
	})
}

// A pod that someone else gave a day to end does not keep the drain for that day: no other
// node is drained meanwhile.
func TestEmptyDoesNotWaitForGraceThatOthersGave(t *testing.T) {
	for name, turns := range map[string]drain.Turns{"none": nil, "turns": {{Priority: 0, Grace: 10 * time.Second}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const day = 24 * time.Hour
				r := newRig(t, pod("deleted", func(p *corev1.Pod) {
					seconds := int64(day / time.Second)
					p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: time.Now().Add(day)}, &seconds
					if turns != nil {
						p.Spec.TerminationGracePeriodSeconds = &seconds // its owner deleted it
					}
				}))
				began := time.Now()
				err := drain.NewEvictor(drain.Options{Client: r.client, StopAtFailure: true, Turns: turns}).Empty(t.Context(), "n", time.Minute, nothing)
				var late *drain.TimeoutError
				if !errors.As(err, &late) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took > 62*time.Second {
					t.Errorf("took %s, want a minute", took)
				}
			})
		})
	}
}

// Without a refusal there is none to tell of, and none is made up.
func TestTimeoutWithoutRefusals(t *testing.T) {
	err := fmt.Errorf("drain: %w", &drain.TimeoutError{Timeout: time.Minute, Left: 1})
	if got, want := err.Error(), "drain: not drained within 1m0s: 1 pods left"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pod("none", graceOf(10*time.Second)), pod("low", priority(-5), graceOf(5*time.Second)),
			pod("middle", priority(1500), graceOf(30*time.Second)), pod("long", priority(1000), graceOf(time.Hour)),
			pod("system", priority(2000000000), graceOf(time.Second)))
		got := r.endSlowly()
		e := drain.NewEvictor(drain.Options{Client: r.client, StopAtFailure: true, Turns: drain.Turns{
			{Priority: 0, Grace: 20 * time.Second}, {Priority: 1000, Grace: 40 * time.Second}, {Priority: 1000000, Grace: 60 * time.Second}}})
		if err := e.Empty(t.Context(), "n", 10*time.Second, nothing); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]evicted{
			"none": {0, 10 * time.Second}, "low": {0, 5 * time.Second},
			"middle": {10 * time.Second, 30 * time.Second}, "long": {10 * time.Second, 40 * time.Second},
			"system": {50 * time.Second, time.Second},
		} {
			if have := got[name]; have.grace != want.grace || have.at < want.at || have.at > want.at+2*time.Second {
				t.Errorf("%s: evicted after %s with %s, want %s and %s", name, have.at, have.grace, want.at, want.grace)
			}
		}
	})
}

// Whatever the pods: none is asked for before all of a lower turn are gone, none gets more
// grace than its turn's or its own, and the drain ends.
func TestTurnsOfRandomPods(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			turns := drain.Turns{}
			for at := int32(-100); len(turns) < random.IntN(4); at += 1 + random.Int32N(300) {
				turns = append(turns, drain.Turn{Priority: at, Grace: time.Duration(random.IntN(60)) * time.Second})
			}
			pods := map[string]*corev1.Pod{}
			var objects []runtime.Object
			for i := range 1 + random.IntN(8) {
				p := pod(fmt.Sprint("p", i), priority(random.Int32N(600)-200), graceOf(time.Duration(random.IntN(90))*time.Second))
				pods[p.Name] = p
				objects = append(objects, p)
			}
			r := newRig(t, objects...)
			got := r.endSlowly()
			e := drain.NewEvictor(drain.Options{Client: r.client, StopAtFailure: true, Turns: turns})
			if err := e.Empty(t.Context(), "n", time.Minute, nothing); err != nil {
				t.Fatal(err)
			}
			turnOf := func(p *corev1.Pod) int {
				n := 0
				for i := range turns {
					if *p.Spec.Priority >= turns[i].Priority {
						n = i
					}
				}
				return n
			}
			for a, p := range pods {
				if len(turns) > 0 && got[a].grace > turns[turnOf(p)].Grace || got[a].grace > kube.Grace(p) {
					t.Errorf("seed %d: %s got %s", seed, a, got[a].grace)
				}
				for b, q := range pods {
					if turnOf(p) < turnOf(q) && got[b].at < got[a].at+got[a].grace {
						t.Errorf("seed %d: %s was asked for before %s was gone", seed, b, a)
					}
				}
			}
		})
	}
}
