package act_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/lab/bubble"
)

// rounds records holds every ten seconds for so long, as the loop does: node-0
// holds itself while on says so.
func (f *fixture) rounds(long time.Duration, on func(passed time.Duration) bool) {
	f.t.Helper()
	for passed := time.Duration(0); passed < long; passed += 10 * time.Second {
		d := scaledown.Decision{}
		if on(passed) {
			since := scaledown.HeldSince(f.node(0))
			h := scaledown.Hold{Node: nodeName(0), Text: "InhibitorHeld: backup", State: scaledown.HoldCounts, Since: since}
			if !since.IsZero() {
				h.Until = since.Add(24 * time.Hour)
			}
			if !since.IsZero() && !time.Now().Before(h.Until) {
				h.State = scaledown.HoldExpired
			}
			d.Holds = []scaledown.Hold{h}
		}
		f.ok(f.RecordHolds(f.t.Context(), d, time.Now()))
		f.ok(f.nodes.Update(f.node(0)))
		bubble.Sleep(10 * time.Second)
	}
}

func always(time.Duration) bool { return true }
func never(time.Duration) bool  { return false }

func TestHoldIsRecordedByTheController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 2)
		began := time.Now()
		f.rounds(50*time.Second, always)
		if since := scaledown.HeldSince(f.node(0)); !since.IsZero() {
			t.Errorf("recorded at once, since %s", since)
		}
		f.rounds(23*time.Hour, always)
		if since := scaledown.HeldSince(f.node(0)); since.Unix() != began.Unix() {
			t.Errorf("recorded since %s, want %s", since, began)
		}
		f.event(1, "HoldRecorded", "counts until", `"InhibitorHeld: backup"`)
	})
}

func TestHoldThatExpiredIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 2)
		f.change(0, func(n *corev1.Node) {
			n.Labels = map[string]string{v1alpha1.HeldSinceLabel: fmt.Sprint(time.Now().Add(-24 * time.Hour).Unix())}
		})
		f.rounds(time.Minute, always)
		f.event(1, "Warning", "HoldExpired", "InhibitorHeld")
	})
}

// A node that lets go for a moment, again and again, gains nothing by it.
func TestLiarThatLetsGoForAMomentIsHeldToItsFirstHold(t *testing.T) {
	for _, on := range []time.Duration{5 * time.Minute, 30 * time.Second} {
		letsGo(t, on)
	}
}

// letsGo has a node hold itself for on, and let go for as long, again and again.
func letsGo(t *testing.T, on time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 2)
		began := time.Now()
		f.rounds(2*time.Hour, func(passed time.Duration) bool { return passed%(2*on) < on })
		if since := scaledown.HeldSince(f.node(0)); since.Unix() != began.Unix() {
			t.Errorf("recorded since %s, want %s", since, began)
		}
		f.rounds(11*time.Minute, never)
		if since := scaledown.HeldSince(f.node(0)); !since.IsZero() {
			t.Errorf("still recorded after a pause, since %s", since)
		}
		again := time.Now()
		f.rounds(5*time.Minute, always)
		if since := scaledown.HeldSince(f.node(0)); since.Before(again.Truncate(time.Second)) {
			t.Errorf("recorded since %s, want %s", since, again)
		}
	})
}

// An agent sees a pod for a moment longer than the API server. A node with many short
// pods does not hold itself.
func TestPodsThatEndAreNoHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 2)
		for i := range 600 {
			d := scaledown.Decision{}
			if i%3 == 0 {
				d.Holds = []scaledown.Hold{{Node: nodeName(0), Text: "PodsRunning", State: scaledown.HoldCounts, Pods: true}}
			}
			f.ok(f.RecordHolds(t.Context(), d, time.Now()))
			bubble.Sleep(10 * time.Second)
		}
		if since := scaledown.HeldSince(f.node(0)); !since.IsZero() {
			t.Errorf("recorded since %s", since)
		}
	})
}

// A controller that takes over counts from what was recorded.
func TestHoldOutlivesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 2)
		before := time.Now().Add(-5 * time.Hour)
		f.change(0, func(n *corev1.Node) {
			n.Labels = map[string]string{v1alpha1.HeldSinceLabel: fmt.Sprint(before.Unix())}
		})
		f.rounds(time.Hour, always)
		if since := scaledown.HeldSince(f.node(0)); since.Unix() != before.Unix() {
			t.Errorf("recorded since %s, want %s", since, before)
		}
	})
}

// The last look before an instance ends goes by the limit as well.
func TestExpiredHoldDoesNotStopARemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 2)
		f.change(0, says(corev1.ConditionFalse, v1alpha1.InhibitorHeld))
		f.change(0, func(n *corev1.Node) {
			n.Labels = map[string]string{v1alpha1.HeldSinceLabel: fmt.Sprint(time.Now().Add(-8 * 24 * time.Hour).Unix())}
		})
		f.ScaleDown(t.Context(), f.removal(0))
		f.Wait()
		f.event(1, "ScaleDown", "drained and terminated instance "+f.ids[0])
	})
}
