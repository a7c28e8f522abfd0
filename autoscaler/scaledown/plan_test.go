package scaledown_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/kube"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func plan(t *testing.T, in cluster.Input, o scaledown.Options) scaledown.Decision {
	t.Helper()
	in.Now = now
	s, err := cluster.New(ct.Honest(in))
	if err != nil {
		t.Fatal(err)
	}
	d := scaledown.Plan(s, now, o)
	if d.Err != nil {
		t.Fatal(d.Err)
	}
	return d
}

// pool is a group with a minimum of 1 and n joined nodes, node-1 to node-n, in
// turn in two zones.
func pool(n int) cluster.Input {
	g := ct.Group("workers", 1, n, 9, "2", "4Gi", "us-west-2a", "us-west-2b")
	in := cluster.Input{}
	for i := range n {
		in.Nodes = append(in.Nodes, ct.Join(&g, fmt.Sprintf("i-%d", i+1), g.Zones[i%2]))
	}
	in.Groups = []cluster.Group{g}
	return in
}

// agent sets the agent's condition since so long ago.
func agent(n *corev1.Node, status corev1.ConditionStatus, reason string, ago time.Duration) {
	n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
		Type: v1alpha1.ScaleDownReady, Status: status, Reason: reason,
		LastTransitionTime: metav1.NewTime(now.Add(-ago)), LastHeartbeatTime: metav1.NewTime(now.Add(-time.Second)),
	})
}

// lost makes the kubelet silent since so long ago.
func lost(n *corev1.Node, ago time.Duration) {
	n.Status.Conditions[0].Status = corev1.ConditionUnknown
	n.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-ago))
}

func unneeded(n *corev1.Node, ago time.Duration) {
	metav1.SetMetaDataLabel(&n.ObjectMeta, v1alpha1.UnneededSinceLabel, strconv.FormatInt(now.Add(-ago).Unix(), 10))
}

// verdict is what the plan says of a node: "remove", or the cause why it stays.
func verdict(d scaledown.Decision, node string) string {
	for _, r := range d.Remove {
		if r.Node == node {
			return "remove"
		}
	}
	for _, r := range slices.Concat(d.Needed, d.Waiting) {
		if r.Node == node {
			return string(r.Cause)
		}
	}
	return ""
}

func TestEmptyNode(t *testing.T) {
	type edit func(in *cluster.Input, n *corev1.Node)
	tests := []struct {
		name string
		edit edit
		want string
	}{
		{"idle for long enough", func(_ *cluster.Input, n *corev1.Node) { agent(n, "True", "Idle", time.Minute) }, "remove"},
		{"idle in a group that has just grown", func(in *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Minute)
			in.Groups[0].LastScaleUp = now
		}, "remove"},
		{"idle for the delay exactly", func(_ *cluster.Input, n *corev1.Node) { agent(n, "True", "Idle", 30*time.Second) }, "remove"},
		{"idle too short", func(_ *cluster.Input, n *corev1.Node) { agent(n, "True", "Idle", 29*time.Second) }, "NotUnneededLongEnough"},
		{"inhibitor", func(_ *cluster.Input, n *corev1.Node) { agent(n, "False", "InhibitorHeld", time.Hour) }, "HeldByAgent"},
		{"hold file", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "False", "HoldFile", time.Hour)
			unneeded(n, time.Hour)
		}, "HeldByAgent"},
		{"joining", func(_ *cluster.Input, n *corev1.Node) { agent(n, "False", "Joining", time.Hour) }, "HeldByAgent"},
		{"a hold does not age", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "False", "HoldFile", time.Hour)
			n.Status.Conditions[len(n.Status.Conditions)-1].LastHeartbeatTime = metav1.NewTime(now.Add(-time.Hour))
		}, "HeldByAgent"},
		{"the agent still sees pods", func(_ *cluster.Input, n *corev1.Node) { agent(n, "False", "PodsRunning", time.Hour) }, "HeldByAgent"},
		{"an old report counts as none", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			n.Status.Conditions[len(n.Status.Conditions)-1].LastHeartbeatTime = metav1.NewTime(now.Add(-time.Hour))
		}, "NotUnneededLongEnough"},
		{"no agent, first seen", func(*cluster.Input, *corev1.Node) {}, "NotUnneededLongEnough"},
		{"no agent, unneeded for long", func(_ *cluster.Input, n *corev1.Node) { unneeded(n, 10*time.Minute) }, "remove"},
		{"no agent, unneeded for not so long", func(_ *cluster.Input, n *corev1.Node) { unneeded(n, 9*time.Minute) }, "NotUnneededLongEnough"},
		{"no agent, group has just grown", func(in *cluster.Input, n *corev1.Node) {
			unneeded(n, time.Hour)
			in.Groups[0].LastScaleUp = now.Add(-time.Minute)
		}, "GroupRecentlyGrown"},
		{"a record that cannot be read", func(_ *cluster.Input, n *corev1.Node) {
			n.Labels[v1alpha1.UnneededSinceLabel] = "yesterday"
		}, "NotUnneededLongEnough"},
		{"disabled", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			n.Annotations = map[string]string{"cluster-autoscaler.kubernetes.io/scale-down-disabled": "true"}
		}, "ScaleDownDisabledAnnotation"},
		{"control plane", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			n.Labels["node-role.kubernetes.io/control-plane"] = ""
		}, "ControlPlane"},
		{"of no group", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			n.Spec.ProviderID = "aws:///us-west-2a/i-0000ffff"
		}, "NotAutoscaled"},
		{"being removed already", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			n.Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
		}, "CurrentlyBeingDeleted"},
		{"not ready, and does not say since when", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			n.Status.Conditions[0].Status = corev1.ConditionUnknown
		}, "NotUnneededLongEnough"},
		{"not ready for long by the record, and does not say since when", func(_ *cluster.Input, n *corev1.Node) {
			n.Status.Conditions[0].Status = corev1.ConditionUnknown
			unneeded(n, 20*time.Minute)
		}, "remove"},
		{"always not ready since now", func(_ *cluster.Input, n *corev1.Node) {
			lost(n, 0)
			unneeded(n, 20*time.Minute)
		}, "remove"},
		{"without a condition of readiness", func(_ *cluster.Input, n *corev1.Node) {
			n.Status.Conditions, n.CreationTimestamp = nil, metav1.NewTime(now.Add(-time.Hour))
			unneeded(n, 20*time.Minute)
		}, "remove"},
		{"always idle since now", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", 0)
			unneeded(n, 10*time.Minute)
		}, "remove"},
		{"idle from the future on", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", -time.Hour)
			unneeded(n, 10*time.Minute)
		}, "remove"},
		{"a control-plane taint that it gave itself", func(_ *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			n.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
		}, "remove"},
		{"not ready for long, and empty", func(_ *cluster.Input, n *corev1.Node) { lost(n, 20*time.Minute) }, "remove"},
		{"not ready for not so long", func(_ *cluster.Input, n *corev1.Node) { lost(n, 19*time.Minute) }, "NotUnneededLongEnough"},
		{"not ready for the group's own time", func(in *cluster.Input, n *corev1.Node) {
			lost(n, 2*time.Minute)
			minute := time.Minute
			in.Groups[0].ScaleDown.UnreadyTime = &minute
		}, "remove"},
		{"not ready, with a pod", func(in *cluster.Input, n *corev1.Node) {
			lost(n, time.Hour)
			in.Pods = append(in.Pods, ct.Running("p", n.Name, "100m", "64Mi"))
		}, "remove"},
		{"not ready and held when last heard of", func(_ *cluster.Input, n *corev1.Node) {
			lost(n, time.Hour)
			agent(n, "False", "InhibitorHeld", time.Hour)
		}, "NotReady"},
		{"the group's own unneeded time", func(in *cluster.Input, n *corev1.Node) {
			unneeded(n, time.Minute)
			minute := time.Minute
			in.Groups[0].ScaleDown.UnneededTime = &minute
		}, "remove"},
		{"group has just lost a node by failure", func(in *cluster.Input, n *corev1.Node) {
			unneeded(n, time.Hour)
			in.Groups[0].LastScaleDownFailure = now.Add(-2 * time.Minute)
		}, "GroupRecentlyGrown"},
		{"another group has just grown", func(in *cluster.Input, n *corev1.Node) {
			unneeded(n, time.Hour)
			other := ct.Group("other", 0, 0, 5, "2", "4Gi", "us-west-2a")
			other.LastScaleUp = now
			in.Groups = append(in.Groups, other)
		}, "remove"},
		{"headroom", func(in *cluster.Input, n *corev1.Node) {
			unneeded(n, time.Hour)
			in.Groups[0].Headroom = 1
		}, "KeptAsHeadroom"},
		{"standby", func(in *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			in.Groups[0].Instances[0].LifecycleState = "Standby"
		}, "InstanceNotInService"},
		{"group at its minimum", func(in *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			in.Groups[0].Min = 2
		}, "NodeGroupMinSizeReached"},
		{"a pending pod would use it", func(in *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			in.Pods = append(in.Pods, ct.Pending("p", "1", "1Gi"))
		}, "NeededByPods"},
		{"a new pod that the scheduler has not seen yet would use it", func(in *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			in.Pods = append(in.Pods, ct.Pod("p", "1", "1Gi"))
		}, "NeededByPods"},
		{"preemption has named the node", func(in *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			in.Pods = append(in.Pods, ct.Pending("p", "1", "1Gi", func(p *corev1.Pod) { p.Status.NominatedNodeName = n.Name }))
		}, "NeededByPods"},
		{"a nomination for which there is no room keeps nothing", func(in *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			in.Pods = append(in.Pods, ct.Pending("p", "64", "1Gi", func(p *corev1.Pod) { p.Status.NominatedNodeName = n.Name }))
		}, "remove"},
		{"a pod nominated on a full node keeps the node with room", func(in *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			full := in.Nodes[1]
			in.Pods = append(in.Pods, ct.Running("full", full.Name, "1900m", "1Gi"),
				ct.Pending("p", "1", "1Gi", func(p *corev1.Pod) { p.Status.NominatedNodeName = full.Name }))
		}, "NeededByPods"},
		{"a pod that fits nowhere keeps nothing", func(in *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			in.Pods = append(in.Pods, ct.Pending("p", "64", "1Gi"))
		}, "remove"},
		{"daemons, mirror and ended pods do not count", func(in *cluster.Input, n *corev1.Node) {
			agent(n, "True", "Idle", time.Hour)
			done := ct.Running("done", n.Name, "1", "1Gi")
			done.Status.Phase = corev1.PodSucceeded
			in.Pods = append(in.Pods, done, ct.Running("ds", n.Name, "100m", "1Gi", ct.OwnedBy("DaemonSet", "d")),
				ct.Running("static", n.Name, "100m", "1Gi", ct.Annotation(corev1.MirrorPodAnnotationKey, "x")))
		}, "remove"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := pool(2)
			in.Pods = []*corev1.Pod{ct.Running("busy", "node-2", "1900m", "1Gi")}
			tt.edit(&in, in.Nodes[0])
			d := plan(t, in, scaledown.Options{})
			if got := verdict(d, "node-1"); got != tt.want {
				t.Errorf("node-1: %s, want %s\n%+v", got, tt.want, d)
			}
			if got := verdict(d, "node-2"); got == "remove" {
				t.Errorf("the busy node is removed: %+v", d)
			}
			if d.Remove != nil && (!d.Remove[0].Empty || len(d.Remove[0].Pods) != 0 || d.Remove[0].InstanceID != ct.InstanceID("i-1")) {
				t.Errorf("removal %+v, want an empty one of i-1", d.Remove[0])
			}
		})
	}
}

func removed(d scaledown.Decision) string {
	var out []string
	for _, r := range d.Remove {
		out = append(out, r.Node)
	}
	return strings.Join(out, " ")
}

func TestChoice(t *testing.T) {
	idle := func(n int) cluster.Input {
		in := pool(n)
		for _, node := range in.Nodes {
			agent(node, "True", "Idle", time.Minute)
		}
		return in
	}
	t.Run("down to the minimum, zones in balance", func(t *testing.T) {
		if got := removed(plan(t, idle(5), scaledown.Options{})); got != "node-1 node-2 node-3 node-4" {
			t.Errorf("removed %q", got)
		}
	})
	t.Run("the fuller zone gives first", func(t *testing.T) {
		in := idle(5)
		in.Groups[0].Min = 4
		in.Nodes[1], in.Nodes[3] = in.Nodes[3], in.Nodes[1]
		if got := removed(plan(t, in, scaledown.Options{})); got != "node-1" {
			t.Errorf("removed %q, want a node of us-west-2a", got)
		}
		in = idle(5)
		in.Groups[0].Min = 4
		in.Nodes[0].Annotations = map[string]string{"cluster-autoscaler.kubernetes.io/scale-down-disabled": "true"}
		if got := removed(plan(t, in, scaledown.Options{})); got != "node-3" {
			t.Errorf("removed %q, want the next of us-west-2a", got)
		}
	})
	t.Run("not more at a time than allowed, those under way counted", func(t *testing.T) {
		in := idle(5)
		in.Nodes[4].Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
		d := plan(t, in, scaledown.Options{MaxParallel: 3})
		if got := removed(d); len(d.Remove) != 2 || verdict(d, "node-3") != "MaxParallelReached" && verdict(d, "node-4") == "" {
			t.Errorf("removed %q: %+v", got, d)
		}
	})
	t.Run("nodes under way count against the minimum", func(t *testing.T) {
		in := idle(2)
		in.Nodes[0].Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
		if d := plan(t, in, scaledown.Options{}); len(d.Remove) != 0 || verdict(d, "node-2") != "NodeGroupMinSizeReached" {
			t.Errorf("%+v", d)
		}
	})
	t.Run("capacity that is owed keeps no minimum", func(t *testing.T) {
		in := idle(2)
		in.Groups[0].Min, in.Groups[0].Desired = 2, 4
		in.Groups[0].BackoffUntil = now.Add(time.Minute)
		if d := plan(t, in, scaledown.Options{}); len(d.Remove) != 0 {
			t.Errorf("removed %+v", d.Remove)
		}
	})
	t.Run("an instance that leaves is out of the desired capacity already", func(t *testing.T) {
		in := idle(3)
		in.Nodes[0].Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
		in.Groups[0].Instances[0].LifecycleState = "Terminating"
		in.Groups[0].Desired = 2
		if d := plan(t, in, scaledown.Options{}); len(d.Remove) != 1 {
			t.Errorf("removed %d, want 1: %+v", len(d.Remove), d)
		}
	})
	t.Run("a node whose time has come goes before one that waits", func(t *testing.T) {
		in := pool(2)
		agent(in.Nodes[0], "True", "Idle", time.Second)
		agent(in.Nodes[1], "True", "Idle", time.Minute)
		if got := removed(plan(t, in, scaledown.Options{})); got != "node-2" {
			t.Errorf("removed %q", got)
		}
	})
	t.Run("two half empty nodes do not lean on each other", func(t *testing.T) {
		in := pool(2)
		in.Groups[0].Min = 0
		for i, n := range in.Nodes {
			unneeded(n, time.Hour)
			in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("p-%d", i), n.Name, "500m", "256Mi"))
		}
		d := plan(t, in, scaledown.Options{})
		if removed(d) != "node-1" || verdict(d, "node-2") != "NeededByPods" {
			t.Errorf("%+v", d)
		}
		if len(d.Remove[0].Pods) != 1 || d.Remove[0].Pods[0].Name != "p-0" || d.Remove[0].Empty {
			t.Errorf("removal %+v, want one that evicts p-0", d.Remove[0])
		}
		if got := d.Unneeded["node-1"]; !got.Equal(now.Add(-time.Hour)) {
			t.Errorf("unneeded since %s, want what the annotation says", got)
		}
	})
	t.Run("several under-used nodes go into fewer", func(t *testing.T) {
		in := pool(6)
		for i, n := range in.Nodes {
			unneeded(n, time.Hour)
			in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("p-%d", i), n.Name, "600m", "256Mi"))
		}
		if d := plan(t, in, scaledown.Options{}); removed(d) != "node-1" || verdict(d, "node-2") != "MaxParallelReached" || len(d.Unneeded) != 4 {
			t.Errorf("removed %q, want one drain at a time: %+v", removed(d), d)
		}
		if got := removed(plan(t, in, scaledown.Options{MaxDrains: 10})); got != "node-1 node-2 node-3 node-4" {
			t.Errorf("removed %q, want four: six pods of 600m fit on two nodes of 2 cpu", got)
		}
	})
	t.Run("system pods of one kind without a budget move one at a time", func(t *testing.T) {
		in := pool(4)
		in.Pods = []*corev1.Pod{ct.Running("anchor", "node-4", "1100m", "256Mi")}
		for i, n := range in.Nodes[:2] {
			unneeded(n, time.Hour)
			in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("dns-%d", i), n.Name, "100m", "64Mi", func(p *corev1.Pod) {
				p.Namespace = "kube-system"
				p.CreationTimestamp = metav1.NewTime(now.Add(-2 * time.Hour))
			}))
		}
		if d := plan(t, in, scaledown.Options{}); removed(d) != "node-1" || verdict(d, "node-2") != "MaxParallelReached" {
			t.Errorf("removed %q: %+v", removed(d), d.Waiting)
		}
		in.Nodes[0].Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
		if d := plan(t, in, scaledown.Options{}); removed(d) != "" || verdict(d, "node-2") != "MaxParallelReached" {
			t.Errorf("while node-1 is being removed: removed %q: %+v", removed(d), d.Waiting)
		}
	})
	t.Run("thresholds", func(t *testing.T) {
		in := pool(2)
		unneeded(in.Nodes[0], time.Hour)
		in.Pods = []*corev1.Pod{ct.Running("keeps-node-2", "node-2", "1", "1Gi"),
			ct.Running("app", "node-1", "400m", "64Mi"), ct.Running("ds", "node-1", "600m", "64Mi", ct.OwnedBy("DaemonSet", "d"))}
		high, yes := 0.6, true
		for name, tt := range map[string]struct {
			o    scaledown.Options
			edit func(*cluster.Group)
			want string
		}{
			"default":                  {want: "NotUnderutilized"},
			"option":                   {o: scaledown.Options{UtilizationThreshold: 0.51}, want: "remove"},
			"group":                    {edit: func(g *cluster.Group) { g.ScaleDown.UtilizationThreshold = &high }, want: "remove"},
			"without daemons":          {o: scaledown.Options{IgnoreDaemonSetsUtilization: true}, want: "remove"},
			"without daemons by group": {edit: func(g *cluster.Group) { g.ScaleDown.IgnoreDaemonSetsUtilization = &yes }, want: "remove"},
			"of GPUs":                  {edit: func(*cluster.Group) { in.Nodes[0].Status.Allocatable["nvidia.com/gpu"] = resource.MustParse("1") }, want: "remove"},
		} {
			edited := in
			edited.Groups = slices.Clone(in.Groups)
			if tt.edit != nil {
				tt.edit(&edited.Groups[0])
			}
			if got := verdict(plan(t, edited, tt.o), "node-1"); got != tt.want {
				t.Errorf("%s: %s, want %s", name, got, tt.want)
			}
			delete(in.Nodes[0].Status.Allocatable, "nvidia.com/gpu")
		}
	})
	t.Run("one budget over two nodes", func(t *testing.T) {
		in := pool(3)
		in.PodDisruptionBudgets = []*policyv1.PodDisruptionBudget{budget(1, "web")}
		in.Pods = []*corev1.Pod{ct.Running("anchor", "node-3", "1100m", "256Mi")}
		for i, n := range in.Nodes[:2] {
			unneeded(n, time.Hour)
			in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("p-%d", i), n.Name, "300m", "256Mi", ct.Labels(map[string]string{"app": "web"})))
		}
		if d := plan(t, in, scaledown.Options{}); removed(d) != "node-1" {
			t.Errorf("removed %q: %+v", removed(d), d)
		}
	})
}

// The loop plans again when a wait ends, so the plan says when that is, with the
// group's own times.
func TestWaitingSaysUntilWhen(t *testing.T) {
	in := pool(4)
	minute := time.Minute
	in.Groups[0].ScaleDown.UnneededTime = &minute
	agent(in.Nodes[0], "True", "Idle", 10*time.Second)
	unneeded(in.Nodes[1], 20*time.Second)
	agent(in.Nodes[2], "True", "Idle", 0) // always since now
	unneeded(in.Nodes[2], 50*time.Second)
	d := plan(t, in, scaledown.Options{})
	want := map[string]time.Duration{"node-1": 20 * time.Second, "node-2": 40 * time.Second, "node-3": 10 * time.Second}
	for _, w := range d.Waiting {
		if left, ok := want[w.Node]; ok && !w.Until.Equal(now.Add(left)) {
			t.Errorf("%s waits until %s: expected %s", w.Node, w.Until, now.Add(left))
		}
		delete(want, w.Node)
	}
	if len(want) > 0 {
		t.Errorf("not waiting: %v: %+v", want, d)
	}
}
