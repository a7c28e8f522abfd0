package expectation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/expectation"
	"github.com/joinery/joinery/internal/durable"
)

// owes is a group that was asked for one instance and has none.
func owes() []cluster.Group {
	return []cluster.Group{{Name: "a", Max: 5, Desired: 1, Zones: []string{"us-west-2a"}, LaunchTemplateVersion: "1", Template: &cluster.Template{}}}
}

func look(t *testing.T, l *expectation.Ledger, groups []cluster.Group, now time.Time) []expectation.Outcome {
	t.Helper()
	l.Apply(groups, now)
	s, err := cluster.New(cluster.Input{Now: now, Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	out, _ := l.Judge(s)
	l.Apply(groups, now)
	return out
}

// AWS owes an instance and says nothing: the debt has a deadline, after which the group
// backs off for as long as it lasts, under the next leader too.
func TestOwedCapacityHasADeadline(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	l, groups := expectation.New(expectation.Options{}), owes()
	look(t, l, groups, now)
	l.Record(expectation.Launch{Group: "a", Version: "1", At: now, Nodes: []expectation.Node{{Zone: "us-west-2a", Pods: []expectation.Pod{{UID: "app", Subject: "s"}}}}})
	look(t, l, groups, now.Add(14*time.Minute))
	if groups[0].BackedOff(now.Add(14 * time.Minute)) {
		t.Errorf("backed off before the deadline: %s", groups[0].BackoffReason)
	}
	if why, coming := l.Held("app", "s", now); !coming {
		t.Errorf("the pod buys another node meanwhile: %q", why)
	}
	text, err := l.State(durable.MaxEntry)
	if err != nil {
		t.Fatal(err)
	}
	next := expectation.New(expectation.Options{})
	if err := next.Restore(text); err != nil {
		t.Fatal(err)
	}
	out := look(t, next, groups, now.Add(16*time.Minute))
	if len(out) != 1 || out[0].Kind != expectation.Never || !strings.Contains(groups[0].BackoffReason, "launched nothing within 15m") {
		t.Errorf("outcomes %+v, backed off for %q", out, groups[0].BackoffReason)
	}
	if why, _ := next.Held("app", "s", now.Add(16*time.Minute)); why != "" {
		t.Errorf("the pod is still held: %s", why)
	}
	for at := 20 * time.Minute; at < 4*time.Hour; at += time.Minute {
		look(t, next, groups, now.Add(at))
		if !groups[0].BackedOff(now.Add(at)) {
			t.Fatalf("the group owes and is not backed off after %s", at)
		}
	}
}
