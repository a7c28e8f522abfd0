package scaleup_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaleup"
	"github.com/joinery/joinery/internal/golden"
	"github.com/joinery/joinery/internal/kube"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func plan(t *testing.T, in cluster.Input, o scaleup.Options) scaleup.Decision {
	t.Helper()
	in.Now = now
	s, err := cluster.New(ct.Honest(in))
	if err != nil {
		t.Fatal(err)
	}
	d := scaleup.Plan(s, now, o)
	if d.Err != nil {
		t.Fatal(d.Err)
	}
	return d
}

// brief writes a decision in one line: workers 1->4(10) means ten pods on three
// more nodes.
func brief(d scaleup.Decision) string {
	var parts []string
	for _, inc := range d.Increases {
		parts = append(parts, fmt.Sprintf("%s %d->%d(%d)", inc.Group, inc.From, inc.To, len(inc.Pods)))
	}
	return strings.Join(append(parts, fmt.Sprintf("waiting %d unhelped %d", len(d.Waiting), len(d.Unhelped))), " ")
}

func pending(n int, cpu, memory string, opts ...func(*corev1.Pod)) []*corev1.Pod {
	pods := make([]*corev1.Pod, n)
	for i := range pods {
		pods[i] = ct.Pending(fmt.Sprintf("web-%02d", i), cpu, memory, opts...)
	}
	return pods
}

func zones(g string, n, maxSize int) []cluster.Group {
	var out []cluster.Group
	for _, z := range []string{"a", "b", "c"}[:n] {
		out = append(out, ct.Group(g+"-"+z, 0, 0, maxSize, "2", "4Gi", "us-west-2"+z))
	}
	return out
}

func TestPlan(t *testing.T) {
	// A t3.medium as its node reports it: 2 vCPU and 4 GiB less what kubelet and
	// system keep, so three pods of 500m and 512Mi each.
	medium := func(desired, maxSize int) cluster.Group {
		return ct.Group("workers", 1, desired, maxSize, "1900m", "3800Mi", "us-west-2a")
	}
	multi := ct.Group("multi", 0, 0, 10, "2", "4Gi", "us-west-2a", "us-west-2b", "us-west-2c")
	tests := []struct {
		name string
		in   func() cluster.Input
		o    scaleup.Options
		want string
	}{
		{"nothing pending", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(0, 5)}}
		}, scaleup.Options{}, "waiting 0 unhelped 0"},
		{"ten pods of the demo from nothing", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(0, 5)}, Pods: pending(10, "500m", "512Mi")}
		}, scaleup.Options{}, "workers 0->4(10) waiting 0 unhelped 0"},
		{"ten pods of the demo beside one empty node", func() cluster.Input {
			g := medium(1, 5)
			n := ct.Join(&g, "i-1", "us-west-2a")
			return cluster.Input{Groups: []cluster.Group{g}, Nodes: []*corev1.Node{n}, Pods: pending(10, "500m", "512Mi")}
		}, scaleup.Options{}, "workers 1->4(7) waiting 3 unhelped 0"},
		{"all have room on capacity that is on its way", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(4, 5)}, Pods: pending(10, "500m", "512Mi")}
		}, scaleup.Options{}, "waiting 10 unhelped 0"},
		{"max is respected", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(0, 2)}, Pods: pending(10, "500m", "512Mi")}
		}, scaleup.Options{}, "workers 0->2(6) waiting 0 unhelped 4"},
		{"the bound of a plan is respected", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(0, 5)}, Pods: pending(10, "500m", "512Mi")}
		}, scaleup.Options{MaxNodesPerPlan: 1}, "workers 0->1(3) waiting 0 unhelped 7"},
		{"the bound of the cluster is respected", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(1, 5)}, Pods: pending(10, "500m", "512Mi")}
		}, scaleup.Options{MaxNodesTotal: 2}, "workers 1->2(3) waiting 3 unhelped 4"},
		{"a backed off group is left out, another helps", func() cluster.Input {
			a, b := medium(0, 5), medium(0, 5)
			a.BackoffUntil, b.Name = now.Add(time.Minute), "zzz"
			return cluster.Input{Groups: []cluster.Group{a, b}, Pods: pending(3, "500m", "512Mi")}
		}, scaleup.Options{}, "zzz 0->1(3) waiting 0 unhelped 0"},
		{"a back-off that is over does not count", func() cluster.Input {
			a := medium(0, 5)
			a.BackoffUntil = now
			return cluster.Input{Groups: []cluster.Group{a}, Pods: pending(3, "500m", "512Mi")}
		}, scaleup.Options{}, "workers 0->1(3) waiting 0 unhelped 0"},
		{"least waste wins over few nodes", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{ct.Group("big", 0, 0, 5, "64", "256Gi", "us-west-2a"), medium(0, 5)},
				Pods: pending(3, "500m", "512Mi")}
		}, scaleup.Options{}, "workers 0->1(3) waiting 0 unhelped 0"},
		{"equal groups: the first by name", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{ct.Group("b", 0, 0, 5, "2", "4Gi", "us-west-2a"), ct.Group("a", 0, 0, 5, "2", "4Gi", "us-west-2a")},
				Pods: pending(3, "500m", "512Mi")}
		}, scaleup.Options{}, "a 0->1(3) waiting 0 unhelped 0"},
		{"equal groups: the smaller one before the name", func() cluster.Input {
			a, b := ct.Group("a", 0, 0, 5, "2", "4Gi", "us-west-2a"), ct.Group("b", 0, 0, 5, "2", "4Gi", "us-west-2a")
			a.Desired = 1
			n := ct.Join(&a, "i-1", "us-west-2a")
			return cluster.Input{Groups: []cluster.Group{a, b}, Nodes: []*corev1.Node{n},
				Pods: append(pending(3, "500m", "512Mi"), ct.Running("full", n.Name, "2", "1Gi"))}
		}, scaleup.Options{}, "b 0->1(3) waiting 0 unhelped 0"},
		{"what overflows one group goes to the next", func() cluster.Input {
			return cluster.Input{Groups: zones("g", 2, 1), Pods: pending(8, "500m", "512Mi")}
		}, scaleup.Options{}, "g-a 0->1(4) g-b 0->1(4) waiting 0 unhelped 0"},
		{"a large pod takes the group that it fits on, small ones the small", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{ct.Group("big", 0, 0, 5, "8", "32Gi", "us-west-2a"), medium(0, 5)},
				Pods: append(pending(3, "500m", "512Mi"), ct.Pending("large", "7500m", "30Gi"))}
		}, scaleup.Options{}, "big 0->1(2) workers 0->1(2) waiting 0 unhelped 0"},
		{"anti-affinity by host: one node each", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(0, 9)}, Pods: pending(5, "100m", "64Mi", ct.AntiAffinity(corev1.LabelHostname, "web"))}
		}, scaleup.Options{}, "workers 0->5(5) waiting 0 unhelped 0"},
		{"zone spread over groups of one zone, in one decision", func() cluster.Input {
			in := cluster.Input{Groups: zones("g", 3, 9), Pods: pending(18, "900m", "512Mi", ct.Spread(corev1.LabelTopologyZone, "web"))}
			for i, zone := range []string{"us-west-2a", "us-west-2b", "us-west-2c"} {
				in.Groups[i].Desired = 1
				in.Nodes = append(in.Nodes, ct.Join(&in.Groups[i], "i-"+zone, zone))
			}
			return in
		}, scaleup.Options{}, "g-a 1->3(4) g-b 1->3(4) g-c 1->3(4) waiting 6 unhelped 0"},
		{"zone spread in a group of three zones", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{multi}, Pods: pending(6, "900m", "512Mi", ct.Spread(corev1.LabelTopologyZone, "web"))}
		}, scaleup.Options{}, "multi 0->3(6) waiting 0 unhelped 0"},
		{"a zone demand opens nodes up to that zone's turn", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{multi}, Pods: pending(1, "500m", "512Mi", ct.Selector(corev1.LabelTopologyZone, "us-west-2b"))}
		}, scaleup.Options{}, "multi 0->2(1) waiting 0 unhelped 0"},
		{"affinity to a pod that is pending itself", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(0, 5)}, Pods: []*corev1.Pod{
				ct.Pending("a-large-follower", "1", "1Gi", ct.Affinity(corev1.LabelHostname, "lead")),
				ct.Pending("leader", "100m", "64Mi", ct.Labels(map[string]string{"app": "lead"})),
			}}
		}, scaleup.Options{}, "workers 0->1(2) waiting 0 unhelped 0"},
		{"preemption has named a node, and its victim is ending", func() cluster.Input {
			return preemption("1900m", "1900m")
		}, scaleup.Options{}, "waiting 1 unhelped 0"},
		{"a nomination on a node with room", func() cluster.Input {
			in := preemption("1", "500m")
			in.Pods[0].DeletionTimestamp = nil
			return in
		}, scaleup.Options{}, "waiting 1 unhelped 0"},
		{"a nomination on a full node is no place", func() cluster.Input {
			in := preemption("1", "1900m")
			in.Pods[0].DeletionTimestamp = nil
			return in
		}, scaleup.Options{}, "workers 1->2(1) waiting 0 unhelped 0"},
		{"nor is one whose victims leave too little", func() cluster.Input {
			in := preemption("1", "100m")
			in.Pods = append(in.Pods, ct.Running("stays", in.Nodes[0].Name, "1500m", "64Mi"))
			return in
		}, scaleup.Options{}, "workers 1->2(1) waiting 0 unhelped 0"},
		{"nor one whose ending pods are not its victims", func() cluster.Input {
			in := preemption("1", "1900m")
			ct.Priority(10)(in.Pods[0])
			return in
		}, scaleup.Options{}, "workers 1->2(1) waiting 0 unhelped 0"},
		{"nor one on a node that has been tainted", func() cluster.Input {
			in := preemption("1", "1900m")
			in.Nodes[0].Spec.Taints = []corev1.Taint{{Key: "maintenance", Effect: corev1.TaintEffectNoSchedule}}
			return in
		}, scaleup.Options{}, "workers 1->2(1) waiting 0 unhelped 0"},
		{"nor one on a node that is gone", func() cluster.Input {
			in := preemption("1", "1900m")
			in.Pods[1].Status.NominatedNodeName = "gone"
			return in
		}, scaleup.Options{}, "workers 1->2(1) waiting 0 unhelped 0"},
		{"two nominations share what is there: the more urgent pod has it", func() cluster.Input {
			in := preemption("1500m", "1900m")
			in.Pods = append(in.Pods, ct.Pending("a-less-urgent", "1", "1Gi", ct.Priority(5), func(p *corev1.Pod) { p.Status.NominatedNodeName = in.Nodes[0].Name }))
			return in
		}, scaleup.Options{}, "workers 1->2(1) waiting 1 unhelped 0"},
		{"an expendable pod whose nomination is no place grows nothing", func() cluster.Input {
			in := preemption("1", "1900m")
			in.Pods[0].DeletionTimestamp = nil
			ct.Priority(-11)(in.Pods[1])
			return in
		}, scaleup.Options{}, "waiting 0 unhelped 1"},
		{"what preemption frees is for the preemptor alone", func() cluster.Input {
			in := preemption("1900m", "100m")
			in.Pods = append(in.Pods, ct.Pending("small", "400m", "64Mi"))
			return in
		}, scaleup.Options{}, "workers 1->2(1) waiting 1 unhelped 0"},
		{"what it leaves over can be waited for", func() cluster.Input {
			in := preemption("1", "1900m")
			in.Pods = append(in.Pods, ct.Pending("small", "800m", "64Mi"))
			return in
		}, scaleup.Options{}, "waiting 2 unhelped 0"},
		{"expendable pods grow nothing", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(0, 5)}, Pods: pending(1, "500m", "512Mi", ct.Priority(-11))}
		}, scaleup.Options{}, "waiting 0 unhelped 1"},
		{"the cut-off itself still grows", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(0, 5)}, Pods: pending(1, "500m", "512Mi", ct.Priority(-10))}
		}, scaleup.Options{}, "workers 0->1(1) waiting 0 unhelped 0"},
		{"priority comes first when room is short", func() cluster.Input {
			return cluster.Input{Groups: []cluster.Group{medium(0, 1)}, Pods: append(pending(3, "500m", "512Mi", ct.Priority(5)), ct.Pending("aaa", "1", "1Gi"))}
		}, scaleup.Options{}, "workers 0->1(3) waiting 0 unhelped 1"},
		{"pods with claims are never planned", func() cluster.Input {
			claim := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}
			return cluster.Input{Groups: []cluster.Group{medium(0, 5)}, Pods: pending(1, "500m", "512Mi", ct.Volume("data", claim))}
		}, scaleup.Options{}, "waiting 0 unhelped 1"},
		{"daemons take their share of new nodes", func() cluster.Input {
			ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "proxy", UID: "ds"}}
			ds.Spec.Template.Spec = ct.Pod("proxy", "500m", "64Mi").Spec
			return cluster.Input{Groups: []cluster.Group{medium(0, 9)}, DaemonSets: []*appsv1.DaemonSet{ds}, Pods: pending(10, "500m", "512Mi")}
		}, scaleup.Options{}, "workers 0->5(10) waiting 0 unhelped 0"},
		{"a node that is being removed is no place to wait for", func() cluster.Input {
			g := medium(1, 5)
			n := ct.Join(&g, "i-1", "us-west-2a")
			n.Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
			everything := func(p *corev1.Pod) {
				p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
			}
			return cluster.Input{Groups: []cluster.Group{g}, Nodes: []*corev1.Node{n}, Pods: pending(1, "500m", "512Mi", everything)}
		}, scaleup.Options{}, "workers 1->2(1) waiting 0 unhelped 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := plan(t, tt.in(), tt.o)
			if got := brief(d); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestReasonsGolden(t *testing.T) {
	backed := ct.Group("backed-off", 0, 0, 5, "128", "512Gi", "us-west-2a")
	backed.BackoffUntil, backed.BackoffReason = now.Add(5*time.Minute), "InsufficientInstanceCapacity"
	broken := ct.Group("broken", 0, 0, 5, "2", "4Gi", "us-west-2a")
	broken.Template, broken.TemplateError = nil, errors.New("the group has no launch template")
	tainted := ct.Group("tainted", 0, 0, 5, "128", "512Gi", "us-west-2a")
	tainted.Template.Taints = []corev1.Taint{{Key: "dedicated", Value: "gpu", Effect: corev1.TaintEffectNoSchedule}}
	full := ct.Group("full", 0, 0, 0, "128", "512Gi", "us-west-2a")
	workers := ct.Group("workers", 0, 0, 5, "1900m", "3800Mi", "us-west-2a")
	ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "proxy", UID: "ds"}}
	ds.Spec.Template.Spec = ct.Pod("proxy", "0", "64Mi").Spec
	in := cluster.Input{
		Groups:     []cluster.Group{backed, broken, tainted, full, workers},
		DaemonSets: []*appsv1.DaemonSet{ds},
		Pods: []*corev1.Pod{
			ct.Pending("too-large", "64", "4Gi"),
			ct.Pending("wrong-zone", "100m", "64Mi", ct.Selector(corev1.LabelTopologyZone, "us-west-2z")),
			ct.Pending("wants-gpu", "100m", "64Mi", func(p *corev1.Pod) {
				p.Spec.Containers[0].Resources.Requests["nvidia.com/gpu"] = ct.List("x", "2")["x"]
			}),
			ct.Pending("claims", "100m", "64Mi", ct.Volume("data", corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-0"}})),
			ct.Pending("device", "100m", "64Mi", func(p *corev1.Pod) {
				p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}}
			}),
			ct.Pending("expendable", "100m", "64Mi", ct.Priority(-50)),
		},
	}
	d := plan(t, in, scaleup.Options{})
	got, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/reasons.golden", string(got)+"\n")
}

func TestDeterministic(t *testing.T) {
	for seed := range uint64(20) {
		in := ct.Random(seed)
		var first string
		for range 3 {
			raw, err := json.Marshal(plan(t, in, scaleup.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			if first == "" {
				first = string(raw)
			}
			if string(raw) != first {
				t.Fatalf("seed %d: shuffled input gave another plan (-first +now):\n%s", seed, cmp.Diff(first, string(raw)))
			}
			r := rand.New(rand.NewPCG(seed, 99))
			r.Shuffle(len(in.Pods), func(i, j int) { in.Pods[i], in.Pods[j] = in.Pods[j], in.Pods[i] })
			r.Shuffle(len(in.Nodes), func(i, j int) { in.Nodes[i], in.Nodes[j] = in.Nodes[j], in.Nodes[i] })
			r.Shuffle(len(in.Groups), func(i, j int) { in.Groups[i], in.Groups[j] = in.Groups[j], in.Groups[i] })
		}
	}
}
