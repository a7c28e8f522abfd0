package expectation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/expectation"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/durable"
	"github.com/joinery/joinery/internal/fleet"
)

// A leader that cannot read what was kept plans all the same, and reads it later. What
// it has bought meanwhile is judged as ever: no pod waits for it without end.
func TestWhatWasBoughtBeforeRestoreIsJudged(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	before := expectation.New(expectation.Options{})
	before.Record(expectation.Launch{Group: "a", Version: "1", At: now, Nodes: []expectation.Node{{Pods: []expectation.Pod{{UID: "old", Subject: "s"}}}}})
	text, err := before.State(durable.MaxEntry)
	if err != nil {
		t.Fatal(err)
	}
	l, groups := expectation.New(expectation.Options{}), owes()
	look(t, l, groups, now)
	l.Record(expectation.Launch{Group: "a", Version: "1", At: now, Nodes: []expectation.Node{{Pods: []expectation.Pod{{UID: "app", Subject: "s"}}}}})
	if err := l.Restore(text); err != nil {
		t.Fatal(err)
	}
	for _, uid := range []types.UID{"old", "app"} {
		if _, coming := l.Held(uid, "s", now); !coming {
			t.Errorf("%s buys another node before its own is judged", uid)
		}
	}
	if out := look(t, l, groups, now.Add(16*time.Minute)); len(out) != 2 {
		t.Errorf("outcomes %+v, want those of both launches", out)
	}
	for _, uid := range []types.UID{"old", "app"} {
		if why, coming := l.Held(uid, "s", now.Add(16*time.Minute)); why != "" || coming {
			t.Errorf("%s waits still: %s", uid, why)
		}
	}
}

// Causes quote what kubelets say, so an account can be larger than what the ConfigMap
// takes. Then its oldest part is left out, and the rest is kept for the next leader.
func TestAccountFitsWhereItIsKept(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	l, groups := expectation.New(expectation.Options{}), owes()
	look(t, l, groups, now)
	pods := make([]expectation.Pod, 3000)
	for i := range pods {
		pods[i] = expectation.Pod{UID: types.UID(fmt.Sprintf("%036d", i)), Subject: expectation.Subject(fmt.Sprintf("%024d", i))}
	}
	for _, pod := range pods {
		l.Record(expectation.Launch{Group: strings.Repeat("g", 200), Version: "1", At: now, Nodes: []expectation.Node{{Zone: strings.Repeat("z", 200), Pods: []expectation.Pod{pod}}}})
	}
	text, err := l.State(durable.MaxEntry)
	if err != nil || len(text) > durable.MaxEntry {
		t.Fatalf("%d bytes (%v), want %d at most", len(text), err, durable.MaxEntry)
	}
	next := expectation.New(expectation.Options{})
	if err := next.Restore(text); err != nil {
		t.Fatal(err)
	}
	if _, coming := next.Held(pods[len(pods)-1].UID, "s", now); !coming {
		t.Error("what was bought last is not kept")
	}
}

// The instance that was asked for joins while no one leads. The next leader knows it for
// what it is, and pauses no group that does what it is told.
func TestNodeThatJoinedBetweenLeadersIsTheOneAskedFor(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		joined time.Time
		missed bool
	}{
		"joined after it was asked for":   {now.Add(40 * time.Second), false},
		"was there before, none has come": {now.Add(-time.Hour), true},
	} {
		l, groups := expectation.New(expectation.Options{}), owes()
		l.Record(expectation.Launch{Group: "a", Version: "1", At: now, Nodes: []expectation.Node{{Zone: "us-west-2a", Pods: []expectation.Pod{{UID: "app", Subject: "s"}}}}})
		groups[0].Instances = []cluster.Instance{{ID: "i-1", Zone: "us-west-2a", LifecycleState: fleet.InService}}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n", CreationTimestamp: metav1.NewTime(tt.joined)}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		bound := map[string]binding.Verdict{"n": {Standing: binding.Bound, InstanceID: "i-1", Instance: &fleet.Instance{ID: "i-1", State: "running"}}}
		var out []expectation.Outcome
		for _, at := range []time.Time{now.Add(time.Minute), now.Add(3 * time.Minute)} {
			l.Apply(groups, at)
			s, err := cluster.New(cluster.Input{Now: at, Groups: groups, Nodes: []*corev1.Node{node}, Bindings: bound})
			if err != nil {
				t.Fatal(err)
			}
			more, _ := l.Judge(s)
			out = append(out, more...)
			l.Apply(groups, at)
		}
		want := expectation.True
		if tt.missed {
			want = expectation.Never
		}
		if len(out) != 1 || out[0].Kind != want || (groups[0].BackoffReason != "") != tt.missed {
			t.Errorf("%s: outcomes %+v, backed off for %q", name, out, groups[0].BackoffReason)
		}
	}
}
