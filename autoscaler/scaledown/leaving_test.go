package scaledown_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/autoscaler/scaleup"
	"github.com/joinery/joinery/internal/kube"
)

// mark has a removal of the node begun.
func mark(n *corev1.Node) {
	n.Spec.Unschedulable = true
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule})
}

func growth(t *testing.T, in cluster.Input) scaleup.Decision {
	t.Helper()
	in.Now = now
	s, err := cluster.New(ct.Honest(in))
	if err != nil {
		t.Fatal(err)
	}
	d := scaleup.Plan(s, now, scaleup.Options{})
	if d.Err != nil {
		t.Fatal(d.Err)
	}
	return d
}

// A pod of a node that is being drained needs the room of another, which stays.
func TestPodsOfADrainingNodeHoldAPlace(t *testing.T) {
	tests := []struct {
		name string
		pod  []func(*corev1.Pod)
		want string
	}{
		{name: "a pod", want: "NeededByPods"},
		{name: "a pod of a Job", pod: []func(*corev1.Pod){ct.OwnedBy("Job", "j")}, want: "NeededByPods"},
		{name: "a pod of a StatefulSet that is ending", pod: []func(*corev1.Pod){ct.OwnedBy("StatefulSet", "s"), func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }}, want: "NeededByPods"},
		{name: "a pod that is ending, whose successor is there", pod: []func(*corev1.Pod){func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }}, want: "remove"},
		{name: "a bare pod, which has no successor", pod: []func(*corev1.Pod){func(p *corev1.Pod) { p.OwnerReferences = nil }}, want: "remove"},
		{name: "a daemon", pod: []func(*corev1.Pod){ct.OwnedBy("DaemonSet", "d")}, want: "remove"},
		{name: "an expendable pod", pod: []func(*corev1.Pod){ct.Priority(-11)}, want: "remove"},
		{name: "a pod of another scheduler", pod: []func(*corev1.Pod){func(p *corev1.Pod) { p.Spec.SchedulerName = "mine" }}, want: "remove"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := pool(3)
			in.Groups[0].Min = 0
			mark(in.Nodes[0])
			agent(in.Nodes[2], "True", "Idle", time.Hour)
			in.Pods = []*corev1.Pod{ct.Running("full", "node-2", "1900m", "1Gi"), ct.Running("moving", "node-1", "1500m", "1Gi", tt.pod...)}
			if got := verdict(plan(t, in, scaledown.Options{}), "node-3"); got != tt.want {
				t.Errorf("node-3: %s, want %s", got, tt.want)
			}
		})
	}
}

// Both planners place what a leaving node will send: no growth for two pods where there is
// room for one, and one more node where the pod that is pending takes the room.
func TestGrowthCountsPodsOfLeavingNodes(t *testing.T) {
	in := pool(3)
	mark(in.Nodes[0])
	in.Pods = []*corev1.Pod{ct.Running("full", "node-2", "1900m", "1Gi"), ct.Running("moving", "node-1", "1500m", "1Gi")}
	if d := growth(t, in); len(d.Increases) != 0 {
		t.Errorf("grows though node-3 has room: %+v", d.Increases)
	}
	in.Pods = append(in.Pods, ct.Pending("new", "1500m", "1Gi"))
	d := growth(t, in)
	if len(d.NewNodes) != 1 || len(d.Increases[0].Pods) != 1 {
		t.Errorf("%d new nodes for two pods and the room of one: %+v", len(d.NewNodes), d.Increases)
	}
	if len(d.Unhelped) != 0 {
		t.Errorf("a running pod is told that nothing helps it: %+v", d.Unhelped)
	}
}

func spreadOver(key string, edits ...func(*corev1.TopologySpreadConstraint)) func(*corev1.Pod) {
	c := corev1.TopologySpreadConstraint{
		MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.DoNotSchedule,
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
	}
	for _, e := range edits {
		e(&c)
	}
	return func(p *corev1.Pod) {
		p.Labels = map[string]string{"app": "web"}
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{c}
	}
}

// A node that is being drained is still a domain to the scheduler, empty: a pod that is
// spread over hosts is refused everywhere else until the Node is gone.
func TestADomainThatGoesCounts(t *testing.T) {
	honor := corev1.NodeInclusionPolicyHonor
	honored := func(c *corev1.TopologySpreadConstraint) { c.NodeTaintsPolicy = &honor }
	skew := func(n int32) func(*corev1.TopologySpreadConstraint) {
		return func(c *corev1.TopologySpreadConstraint) { c.MaxSkew = n }
	}
	most := func(n int32) func(*corev1.TopologySpreadConstraint) {
		return func(c *corev1.TopologySpreadConstraint) { c.MinDomains = &n }
	}
	host, zone := corev1.LabelHostname, corev1.LabelTopologyZone
	tests := []struct {
		name string
		pod  func(*corev1.Pod)
		want int
	}{
		{"over hosts", spreadOver(host), 0},
		{"over hosts, loosely", spreadOver(host, skew(2)), 1},
		{"over hosts, taints honored", spreadOver(host, honored), 1},
		{"over hosts, taints honored but tolerated", func(p *corev1.Pod) {
			spreadOver(host, honored)(p)
			p.Spec.Tolerations = []corev1.Toleration{{Key: kube.ToBeDeletedTaint, Operator: corev1.TolerationOpExists}}
		}, 0},
		{"over hosts, of which there must be five", spreadOver(host, honored, most(5)), 0},
		{"over hosts, of which there must be four", spreadOver(host, honored, most(4)), 1},
		{"over zones", spreadOver(zone), 1},
		{"over racks", spreadOver("rack"), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := pool(5)
			for i, n := range in.Nodes {
				unneeded(n, time.Hour)
				n.Labels["rack"] = fmt.Sprint("r", i)
				in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("p-%d", i), n.Name, "100m", "64Mi", tt.pod))
			}
			d := plan(t, in, scaledown.Options{})
			if len(d.Remove) != tt.want {
				t.Fatalf("removed %q, want %d: %+v", removed(d), tt.want, d.Needed)
			}
		})
	}
}

// While the nodes of a plan are being drained, no group grows for the pods that they lose.
func TestNoGrowthWhileNodesAreDrained(t *testing.T) {
	seen := 0
	for seed := range uint64(150) {
		in := randomPool(seed)
		r := rand.New(rand.NewPCG(seed, 7))
		for _, p := range in.Pods {
			if key := []string{"", "", corev1.LabelHostname, corev1.LabelTopologyZone}[r.IntN(4)]; key != "" {
				spreadOver(key, func(c *corev1.TopologySpreadConstraint) { c.MaxSkew = 1 + r.Int32N(2) })(p)
			}
		}
		if before := growth(t, in); len(before.Increases)+len(before.Unhelped) > 0 {
			continue
		}
		d := plan(t, in, scaledown.Options{MaxDrains: 10, UtilizationThreshold: 0.9})
		if len(d.Remove) == 0 {
			continue
		}
		seen++
		gone, evicted := map[string]bool{}, map[string]bool{}
		for _, rm := range d.Remove {
			gone[rm.Node] = true
			for _, p := range rm.Pods {
				evicted[p.Name] = r.IntN(2) == 0
			}
		}
		for i, n := range in.Nodes {
			if gone[n.Name] {
				in.Nodes[i] = n.DeepCopy()
				mark(in.Nodes[i])
			}
		}
		for i, p := range in.Pods {
			if evicted[p.Name] || p.Spec.NodeName == "" {
				in.Pods[i] = p.DeepCopy()
				in.Pods[i].Spec.NodeName = ""
				in.Pods[i].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
			}
		}
		if got := growth(t, in); len(got.Increases)+len(got.Unhelped) > 0 {
			t.Errorf("seed %d: while %s are drained: %+v", seed, removed(d), got)
		}
		places(t, seed, in, plan(t, in, scaledown.Options{MaxDrains: 20, UtilizationThreshold: 0.9}))
	}
	if seen < 40 {
		t.Errorf("only %d plans remove a node", seen)
	}
}

// places fails where a later plan takes a node that a pod of a leaving one needs: then
// both planners together would have to grow.
func places(t *testing.T, seed uint64, in cluster.Input, d scaledown.Decision) {
	t.Helper()
	for _, rm := range d.Remove {
		for i, n := range in.Nodes {
			if n.Name == rm.Node {
				in.Nodes[i] = n.DeepCopy()
				mark(in.Nodes[i])
			}
		}
	}
	if got := growth(t, in); len(got.Increases)+len(got.Unhelped) > 0 {
		t.Errorf("seed %d: the next plan removes %s as well: %+v", seed, removed(d), got)
	}
}
