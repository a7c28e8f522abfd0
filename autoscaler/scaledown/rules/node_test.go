package rules_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/kube"
)

func label(key string) func(*rules.NodeFacts) {
	return func(n *rules.NodeFacts) { n.Node.Labels = map[string]string{key: ""} }
}

func taint(key string) func(*rules.NodeFacts) {
	return func(n *rules.NodeFacts) {
		n.Node.Spec.Taints = []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule}}
	}
}

func annotation(key, value string) func(*rules.NodeFacts) {
	return func(n *rules.NodeFacts) { metav1.SetMetaDataAnnotation(&n.Node.ObjectMeta, key, value) }
}

func lifecycle(state string) func(*rules.NodeFacts) {
	return func(n *rules.NodeFacts) { n.LifecycleState = fleet.Lifecycle(state) }
}

func condition(status corev1.ConditionStatus, reason v1alpha1.ReadyReason, age time.Duration) func(*rules.NodeFacts) {
	return func(n *rules.NodeFacts) { report(n.Node, status, reason, age) }
}

func TestNode(t *testing.T) {
	const old = time.Hour
	tests := []struct {
		name string
		node func(*rules.NodeFacts)
		want rules.Cause
		say  string
	}{
		{"nothing speaks against it", func(*rules.NodeFacts) {}, "", ""},
		{"of no group", func(n *rules.NodeFacts) { n.InGroup = false }, rules.NotAutoscaled, "no group"},
		{"control plane by label", label("node-role.kubernetes.io/control-plane"), rules.ControlPlane, "control plane"},
		{"control plane by its own taint alone", taint("node-role.kubernetes.io/control-plane"), "", ""},
		{"master by label", label("node-role.kubernetes.io/master"), rules.ControlPlane, "control plane"},
		{"master by its own taint alone", taint("node-role.kubernetes.io/master"), "", ""},
		{"another role", label("node-role.kubernetes.io/worker"), "", ""},
		{"disabled", annotation(kube.ScaleDownDisabledAnnotation, "true"), rules.Disabled, "scale-down-disabled=true"},
		{"not disabled", annotation(kube.ScaleDownDisabledAnnotation, "false"), "", ""},
		{"Node being deleted", func(n *rules.NodeFacts) { n.Node.DeletionTimestamp = &metav1.Time{Time: now} }, rules.BeingDeleted, "being removed"},
		{"marked", taint(kube.ToBeDeletedTaint), rules.BeingDeleted, "being removed"},
		{"instance leaving", func(n *rules.NodeFacts) { n.Leaving, n.LifecycleState = true, "Terminating" }, rules.BeingDeleted, "being removed"},
		{"only a candidate of Cluster Autoscaler's", taint("DeletionCandidateOfClusterAutoscaler"), "", ""},
		{"starting", func(n *rules.NodeFacts) { n.Starting = true }, rules.NotReady, "starting"},
		{"not ready", func(n *rules.NodeFacts) { n.Unusable = "the node is not ready" }, rules.NotReady, "the node is not ready"},
		{"standby", lifecycle("Standby"), rules.OutOfService, "the instance is Standby"},
		{"lifecycle not known", lifecycle(""), "", ""},
		{"asks for time before its deletion", annotation("delay-deletion.cluster-autoscaler.kubernetes.io/disk", "x"), "", ""},
		{"not enabled", annotation("k8s.io/cluster-autoscaler-enabled", "false"), "", ""},
		{"inhibitor", condition("False", v1alpha1.InhibitorHeld, 0), rules.Held, "held by its agent: InhibitorHeld"},
		{"hold file, old report", condition("False", v1alpha1.HoldFile, old), rules.Held, "held by its agent: HoldFile"},
		{"draining", condition("False", v1alpha1.Draining, 0), rules.Held, "held by its agent: Draining"},
		{"joining, by an agent whose kubelet is dead", func(n *rules.NodeFacts) {
			report(n.Node, "False", v1alpha1.Joining, 0)
			n.Node.Status.Conditions[0].Status = corev1.ConditionUnknown
		}, "", ""},
		{"joining, with a hold in its report", func(n *rules.NodeFacts) {
			report(n.Node, "False", v1alpha1.Joining, old)
			annotation(v1alpha1.NodeReportAnnotation, `{"apiVersion":"joinery.dev/v1alpha1","kind":"NodeReport","instanceID":"i-0123456789abcdef0","reportedAt":"2026-11-30T10:00:00Z","holds":["file: job"]}`)(n)
		}, rules.Held, "held by its agent: HoldFile"},
		{"draining, old report", condition("False", v1alpha1.Draining, old), "", ""},
		{"pods run", condition("False", v1alpha1.PodsRunning, 0), "", ""},
		{"not to be disrupted", func(n *rules.NodeFacts) { n.Node.Annotations = map[string]string{kube.DoNotDisruptAnnotation: "true"} }, rules.Disabled, "karpenter.sh/do-not-disrupt=true"},
		{"not to be disrupted for a time", func(n *rules.NodeFacts) { n.Node.Annotations = map[string]string{kube.DoNotDisruptAnnotation: "30m"} }, "", ""},
		{"idle", condition("True", v1alpha1.Idle, 0), "", ""},
		{"what never changes comes first", func(n *rules.NodeFacts) { n.Starting, n.InGroup = true, false }, rules.NotAutoscaled, "no group"},
	}
	c := rules.Context{Now: now, Options: rules.Options{ReportTimeout: 5 * time.Minute}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := rules.NodeFacts{Node: &corev1.Node{}, InGroup: true, LifecycleState: "InService"}
			tt.node(&n)
			cause, why := c.Node(n)
			if cause != tt.want || !strings.Contains(why, tt.say) || (cause == "") != (why == "") {
				t.Errorf("%q, %q, want %q with %q", cause, why, tt.want, tt.say)
			}
		})
	}
}

func TestDelayedBy(t *testing.T) {
	const delay = "delay-deletion.cluster-autoscaler.kubernetes.io/"
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
		delay + "disk": "", delay + "balancer": "false", kube.ScaleDownDisabledAnnotation: "true",
	}}}
	if got, want := rules.DelayedBy(node), []string{delay + "balancer", delay + "disk"}; !slices.Equal(got, want) {
		t.Errorf("delayed by %q, want %q", got, want)
	}
	if got := rules.DelayedBy(&corev1.Node{}); len(got) != 0 {
		t.Errorf("delayed by %q, want nothing", got)
	}
}
