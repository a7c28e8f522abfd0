package expectation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/expectation"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/durable"
	"github.com/joinery/joinery/internal/fleet"
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

// A node that came late and helps none of its pods is refused like one that came in
// time: the next would be the same.
func TestLateNodeThatDoesNotHelpIsRefused(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	l, groups := expectation.New(expectation.Options{}), owes()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "app", UID: "app"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	var nodes []*corev1.Node
	bound := map[string]binding.Verdict{}
	var told []expectation.Kind
	at := now
	judge := func() {
		l.Apply(groups, at)
		s, err := cluster.New(cluster.Input{Now: at, Groups: groups, Nodes: nodes, Pods: []*corev1.Pod{pod}, Bindings: bound})
		if err != nil {
			t.Fatal(err)
		}
		out, _ := l.Judge(s)
		for _, o := range out {
			told = append(told, o.Kind)
		}
	}
	judge()
	l.Record(expectation.Launch{Group: "a", Version: "1", At: now, Nodes: []expectation.Node{{Zone: "us-west-2a", Pods: []expectation.Pod{{UID: "app", Subject: "s"}}}}})
	for range 20 {
		at = at.Add(time.Minute)
		judge()
	}
	groups[0].Instances = []cluster.Instance{{ID: "i-1", Zone: "us-west-2a", LifecycleState: fleet.InService, LaunchedAt: at}}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n", CreationTimestamp: metav1.NewTime(at)}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	nodes = append(nodes, n)
	bound["n"] = binding.Verdict{Standing: binding.Bound, InstanceID: "i-1", Instance: &fleet.Instance{ID: "i-1", State: "running"}}
	for range 4 {
		judge()
		at = at.Add(time.Minute)
	}
	if want := []expectation.Kind{expectation.Never, expectation.Late}; !slices.Equal(told, want) {
		t.Errorf("outcomes %v, want %v", told, want)
	}
	if why := l.Refusals("s", func(string) string { return "1" }, at)["a"]; !strings.Contains(why, "does not use it") {
		t.Errorf("refused at the group for %q", why)
	}
}

// What is known of a group outlasts an old answer without it, and goes a day after the
// group has gone.
func TestWhatIsKnownOfAVanishedGroupIsForgotten(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	l, groups := expectation.New(expectation.Options{}), owes()
	groups[0].LaunchFailure = cluster.LaunchFailure{At: now, Cause: "no capacity"}
	look(t, l, groups, now)
	written := func() string {
		text, err := l.State(durable.MaxEntry)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	look(t, l, nil, now.Add(time.Hour))
	if got := written(); !strings.Contains(got, `"owing"`) || !strings.Contains(got, `"failed":{`) {
		t.Errorf("forgotten after an hour: %s", got)
	}
	look(t, l, nil, now.Add(25*time.Hour))
	if got := written(); got != "{}" {
		t.Errorf("known after a day: %s", got)
	}
}
