package rules_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
)

// report gives the node its agent's condition, an hour after it changed last and
// so long after its last heartbeat.
func report(n *corev1.Node, status corev1.ConditionStatus, reason v1alpha1.ReadyReason, age time.Duration) {
	n.Status.Conditions = []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue},
		{
			Type: v1alpha1.ScaleDownReady, Status: status, Reason: string(reason),
			LastTransitionTime: metav1.NewTime(now.Add(-time.Hour)), LastHeartbeatTime: metav1.NewTime(now.Add(-age)),
		},
	}
}

func TestReport(t *testing.T) {
	const timeout, old = 5 * time.Minute, 5*time.Minute + time.Second
	tests := []struct {
		name    string
		status  corev1.ConditionStatus
		reason  v1alpha1.ReadyReason
		age     time.Duration
		want    rules.Say
		refuses [2]bool // a node with pods, an empty node
	}{
		{"idle", "True", v1alpha1.Idle, 0, rules.SaysReady, [2]bool{}},
		{"idle, on the edge", "True", v1alpha1.Idle, timeout, rules.SaysReady, [2]bool{}},
		{"idle, old", "True", v1alpha1.Idle, old, rules.SaysNothing, [2]bool{}},
		{"drained", "True", v1alpha1.Drained, 0, rules.SaysReady, [2]bool{}},
		{"pods run", "False", v1alpha1.PodsRunning, 0, rules.SaysPods, [2]bool{false, true}},
		{"pods run, old", "False", v1alpha1.PodsRunning, old, rules.SaysNothing, [2]bool{}},
		{"inhibitor", "False", v1alpha1.InhibitorHeld, 0, rules.SaysHold, [2]bool{true, true}},
		{"inhibitor, old", "False", v1alpha1.InhibitorHeld, 1000 * time.Hour, rules.SaysHold, [2]bool{true, true}},
		{"hold file", "False", v1alpha1.HoldFile, 0, rules.SaysHold, [2]bool{true, true}},
		{"hold file, old", "False", v1alpha1.HoldFile, 1000 * time.Hour, rules.SaysHold, [2]bool{true, true}},
		{"hold file that is gone", "True", v1alpha1.HoldFile, 0, rules.SaysReady, [2]bool{}},
		{"joining", "False", v1alpha1.Joining, 0, rules.SaysHold, [2]bool{true, true}},
		{"joining, old", "False", v1alpha1.Joining, old, rules.SaysNothing, [2]bool{}},
		{"draining", "False", v1alpha1.Draining, 0, rules.SaysHold, [2]bool{true, true}},
		{"draining, old", "False", v1alpha1.Draining, old, rules.SaysNothing, [2]bool{}},
		{"a reason of a later version", "False", "Rebooting", 0, rules.SaysHold, [2]bool{true, true}},
		{"unknown", "Unknown", v1alpha1.Idle, 0, rules.SaysNothing, [2]bool{}},
		{"unknown, of a hold", "Unknown", v1alpha1.HoldFile, 0, rules.SaysNothing, [2]bool{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := &corev1.Node{}
			report(n, tt.status, tt.reason, tt.age)
			got, since, text := rules.Report(n, now, timeout)
			if got != tt.want {
				t.Errorf("says %d, want %d", got, tt.want)
			}
			if silent := got == rules.SaysNothing; silent != since.IsZero() || silent != (text == "") {
				t.Errorf("says %d since %s: %q", got, since, text)
			}
			for i, empty := range []bool{false, true} {
				if refuses := rules.Refuses(n, now, 0, empty) != ""; refuses != tt.refuses[i] {
					t.Errorf("refuses %t when empty is %t", refuses, empty)
				}
			}
		})
	}
}

func TestReportEdges(t *testing.T) {
	if got, _, _ := rules.Report(&corev1.Node{}, now, time.Minute); got != rules.SaysNothing {
		t.Errorf("no condition: says %d", got)
	}
	n := &corev1.Node{}
	report(n, "True", v1alpha1.Idle, time.Hour)
	got, since, text := rules.Report(n, now, 0)
	if got != rules.SaysReady || !since.Equal(now.Add(-time.Hour)) || text != "Idle" {
		t.Errorf("no timeout: says %d since %s: %q", got, since, text)
	}
	n.Status.Conditions[1].Message = "for a while"
	n.Status.Conditions[1].LastHeartbeatTime = metav1.Time{}
	if got, _, text := rules.Report(n, now, time.Minute); got != rules.SaysReady || text != `Idle: "for a while"` {
		t.Errorf("no heartbeat: says %d: %q", got, text)
	}
}
