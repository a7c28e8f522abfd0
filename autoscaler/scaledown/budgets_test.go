package scaledown_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown"
)

// keepsBudgets fails where more nodes share a budget than it allows evictions, or a node
// needs more turns than a drain has the time for: the pods here take a minute each.
func keepsBudgets(t *testing.T, in cluster.Input, d scaledown.Decision) {
	t.Helper()
	pods := map[string]*corev1.Pod{}
	for _, p := range in.Pods {
		pods[cluster.Key(p).String()] = p
	}
	for _, pdb := range in.PodDisruptionBudgets {
		nodes, allowed := 0, int(pdb.Status.DisruptionsAllowed)
		for _, r := range d.Remove {
			here := 0
			for _, key := range r.Pods {
				if p := pods[key.String()]; p.Namespace == pdb.Namespace && p.Labels["app"] == pdb.Spec.Selector.MatchLabels["app"] {
					here++
				}
			}
			if here > 6*allowed {
				t.Errorf("budget %s allows %d evictions, and %d pods of it are on node %s", pdb.Name, allowed, here, r.Node)
			}
			nodes += min(here, 1)
		}
		if nodes > allowed {
			t.Errorf("budget %s allows %d evictions, and pods of it leave %d nodes", pdb.Name, allowed, nodes)
		}
	}
}

// readyAfter makes the pod one that was Ready so long after its start.
func readyAfter(took time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		start := metav1.NewTime(now.Add(-time.Hour))
		p.Status.StartTime = &start
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
			Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(start.Add(took)),
		})
	}
}

// A drain asks again and again, so pods under one budget leave one after the other.
func TestPodsOfOneBudgetShareANode(t *testing.T) {
	grace := func(p *corev1.Pod) {
		seconds := int64(100)
		p.Spec.TerminationGracePeriodSeconds = &seconds
	}
	tests := []struct {
		name    string
		pods    int
		allowed int32
		opts    []func(*corev1.Pod)
		o       scaledown.Options
		want    string
	}{
		{name: "all at once", pods: 3, allowed: 3, opts: []func(*corev1.Pod){readyAfter(time.Hour)}, want: "remove"},
		{name: "one by one", pods: 3, allowed: 1, opts: []func(*corev1.Pod){readyAfter(20 * time.Second)}, want: "remove"},
		{name: "one by one, of unknown start", pods: 3, allowed: 1, want: "remove"},
		{name: "one by one, of unknown start, too many", pods: 7, allowed: 1, want: "BlockedByPod"},
		{name: "two by two", pods: 7, allowed: 2, want: "remove"},
		{name: "slow starts", pods: 3, allowed: 1, opts: []func(*corev1.Pod){readyAfter(151 * time.Second)}, want: "BlockedByPod"},
		{name: "slow starts in a longer drain", pods: 3, allowed: 1, opts: []func(*corev1.Pod){readyAfter(151 * time.Second)}, o: scaledown.Options{DrainTimeout: 10 * time.Minute}, want: "remove"},
		{name: "a Deployment's grace does not count", pods: 4, allowed: 1, opts: []func(*corev1.Pod){readyAfter(20 * time.Second), grace}, want: "remove"},
		{name: "a StatefulSet's grace counts", pods: 4, allowed: 1, opts: []func(*corev1.Pod){readyAfter(20 * time.Second), grace, ct.OwnedBy("StatefulSet", "s")}, want: "BlockedByPod"},
		{name: "none may go", pods: 2, allowed: 0, want: "BlockedByPod"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := pool(2)
			unneeded(in.Nodes[0], time.Hour)
			in.PodDisruptionBudgets = []*policyv1.PodDisruptionBudget{budget(tt.allowed, "web")}
			in.Pods = []*corev1.Pod{ct.Running("anchor", "node-2", "1", "1Gi")}
			for i := range tt.pods {
				opts := append([]func(*corev1.Pod){ct.Labels(map[string]string{"app": "web"})}, tt.opts...)
				in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("p-%d", i), "node-1", "100m", "64Mi", opts...))
			}
			if got := verdict(plan(t, in, tt.o), "node-1"); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// A node that does not go yet leaves the budget to those that do.
func TestANodeThatWaitsUsesNoBudget(t *testing.T) {
	in := pool(3)
	in.PodDisruptionBudgets = []*policyv1.PodDisruptionBudget{budget(1, "web")}
	in.Pods = []*corev1.Pod{ct.Running("anchor", "node-3", "1100m", "256Mi")}
	for i, n := range in.Nodes[:2] {
		unneeded(n, time.Minute)
		in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("p-%d", i), n.Name, "300m", "256Mi", ct.Labels(map[string]string{"app": "web"})))
	}
	d := plan(t, in, scaledown.Options{})
	for _, node := range []string{"node-1", "node-2"} {
		if got := verdict(d, node); got != "NotUnneededLongEnough" {
			t.Errorf("%s: %s, want its time to go on", node, got)
		}
	}
}
