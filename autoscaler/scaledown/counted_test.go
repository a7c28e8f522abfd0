package scaledown_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown"
)

// TestBudgetsCountAsTheEvictionAPIDoes has one pod under a budget that allows nothing.
func TestBudgetsCountAsTheEvictionAPIDoes(t *testing.T) {
	always, healthy := policyv1.AlwaysAllow, policyv1.IfHealthyBudget
	for name, tt := range map[string]struct {
		ready           corev1.ConditionStatus
		phase           corev1.PodPhase
		policy          *policyv1.UnhealthyPodEvictionPolicyType
		current, wanted int32
		old             bool // the budget's status
		want            string
	}{
		"Ready":                                        {ready: "True", phase: "Running", current: 2, wanted: 2, want: "BlockedByPod"},
		"Ready, policy AlwaysAllow":                    {ready: "True", phase: "Running", policy: &always, current: 1, wanted: 2, want: "BlockedByPod"},
		"not Ready, the budget is met":                 {ready: "False", phase: "Running", current: 2, wanted: 2, want: "remove"},
		"not Ready, met, policy IfHealthyBudget":       {ready: "False", phase: "Running", policy: &healthy, current: 2, wanted: 2, want: "remove"},
		"not Ready, the budget is not met":             {ready: "False", phase: "Running", current: 1, wanted: 2, want: "BlockedByPod"},
		"not Ready, not met, policy IfHealthyBudget":   {ready: "False", phase: "Running", policy: &healthy, current: 1, wanted: 2, want: "BlockedByPod"},
		"not Ready, not met, policy AlwaysAllow":       {ready: "False", phase: "Running", policy: &always, current: 1, wanted: 2, want: "remove"},
		"not Ready, a budget that no one has counted":  {ready: "False", phase: "Running", want: "BlockedByPod"},
		"not Ready, a status older than the budget":    {ready: "False", phase: "Running", current: 2, wanted: 2, old: true, want: "BlockedByPod"},
		"without a condition, met":                     {phase: "Running", current: 2, wanted: 2, want: "remove"},
		"Pending on the node, the budget is not met":   {ready: "False", phase: "Pending", current: 1, wanted: 2, want: "remove"},
		"Pending on the node, no one has counted ever": {phase: "Pending", want: "remove"},
	} {
		t.Run(name, func(t *testing.T) {
			in := pool(2)
			pdb := budget(0, "web")
			pdb.Spec.UnhealthyPodEvictionPolicy = tt.policy
			pdb.Status.CurrentHealthy, pdb.Status.DesiredHealthy = tt.current, tt.wanted
			if tt.old {
				pdb.Generation = pdb.Status.ObservedGeneration + 1
			}
			in.PodDisruptionBudgets = []*policyv1.PodDisruptionBudget{pdb}
			pod := ct.Running("web", "node-1", "100m", "64Mi", ct.Labels(map[string]string{"app": "web"}))
			pod.Status.Phase = tt.phase
			if tt.ready != "" {
				pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: tt.ready})
			}
			in.Pods = []*corev1.Pod{pod}
			unneeded(in.Nodes[0], time.Hour)
			if got := verdict(plan(t, in, scaledown.Options{}), "node-1"); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
