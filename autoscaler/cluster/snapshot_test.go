package cluster_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/kube"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func snapshot(t *testing.T, in cluster.Input) *cluster.Snapshot {
	t.Helper()
	s, err := cluster.New(ct.Honest(in))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func names(s *cluster.Snapshot) string {
	var out []string
	for _, n := range s.Nodes() {
		out = append(out, n.Name())
	}
	return strings.Join(out, " ")
}

func verdict(standing binding.Standing, id string) binding.Verdict {
	return binding.Verdict{Standing: standing, Reason: "Test", Message: "as the test wants", InstanceID: id, Instance: &fleet.Instance{ID: id, State: "running"}}
}

// The verdict decides which instance a Node is, and not its provider id.
func TestGroupOf(t *testing.T) {
	i1 := ct.InstanceID("i-1")
	own := kube.ProviderID("us-west-2a", i1)
	onPremises := binding.Verdict{Standing: binding.Adopted}
	for name, tt := range map[string]struct {
		provider string
		verdict  binding.Verdict
		want     bool
		unusable string
	}{
		"bound":                     {own, verdict(binding.Bound, i1), true, ""},
		"bound without provider id": {"", verdict(binding.Bound, i1), true, ""},
		"adopted":                   {own, verdict(binding.Adopted, i1), true, ""},
		"adopted without instance":  {"", onPremises, false, ""},
		"bound to another":          {own, verdict(binding.Bound, "i-00000002"), false, ""},
		"impostor":                  {own, verdict(binding.Impostor, i1), false, "the node is an impostor: as the test wants (Test)"},
		"leaving":                   {own, verdict(binding.Leaving, i1), false, "the node is no known instance: as the test wants (Test)"},
		"unknown":                   {own, verdict(binding.Unknown, i1), false, "the node is no known instance: as the test wants (Test)"},
		"not looked up":             {own, binding.Verdict{}, false, "the node's instance has not been looked up yet"},
	} {
		g := ct.Group("workers", 0, 1, 3, "2", "4Gi", "us-west-2a")
		n := ct.Join(&g, "i-1", "us-west-2a")
		n.Spec.ProviderID = tt.provider
		s, err := cluster.New(cluster.Input{Nodes: []*corev1.Node{n}, Groups: []cluster.Group{g}, Bindings: map[string]binding.Verdict{n.Name: tt.verdict}})
		if err != nil {
			t.Fatal(err)
		}
		if _, inst, ok := s.GroupOf(n); ok != tt.want || ok && inst.ID != i1 {
			t.Errorf("%s: GroupOf = %v, want %v", name, ok, tt.want)
		}
		st := s.Node(n.Name)
		if st.Unusable != tt.unusable || (st.Group != "") != tt.want || (st.Allocatable.MilliCPU == 0) != (tt.unusable != "") {
			t.Errorf("%s: group %q, unusable %q, allocatable %+v: want unusable %q", name, st.Group, st.Unusable, st.Allocatable, tt.unusable)
		}
		// The instance of a Node that does not count is still on its way.
		if coming := s.Node("upcoming-"+i1) != nil; coming == tt.want {
			t.Errorf("%s: the instance is on its way: %t", name, coming)
		}
	}
}

// A node counts for what its type has, whatever it reports.
func TestNodeCountsForItsHardware(t *testing.T) {
	g := ct.Group("workers", 0, 1, 3, "2", "4Gi", "us-west-2a")
	g.Hardware = map[string]cluster.Amounts{"t3.medium": {MilliCPU: 2000, Memory: 4 << 30, Scalar: []cluster.Scalar{{Name: "nvidia.com/gpu", Value: 1}}}}
	n := ct.Join(&g, "i-1", "us-west-2a")
	n.Status.Allocatable = ct.List("cpu", "900", "memory", "1Ti", "pods", "110", "nvidia.com/gpu", "8", "example.com/x", "3")
	st := snapshot(t, cluster.Input{Nodes: []*corev1.Node{n}, Groups: []cluster.Group{g}}).Node(n.Name)
	a := &st.Allocatable
	if a.MilliCPU != 2000 || a.Memory != 4<<30 || a.Of("nvidia.com/gpu") != 1 || a.Of("example.com/x") != 3 || a.Pods != 110 {
		t.Errorf("allocatable is %+v", *a)
	}
	g.Template.Allocatable = ct.List("nvidia.com/gpu", "4")
	st = snapshot(t, cluster.Input{Nodes: []*corev1.Node{n}, Groups: []cluster.Group{g}}).Node(n.Name)
	if got := st.Allocatable.Of("nvidia.com/gpu"); got != 4 {
		t.Errorf("%d GPUs where the group's nodes agree on 4", got)
	}
}

func TestUpcoming(t *testing.T) {
	base := func() (cluster.Group, *corev1.Node) {
		g := ct.Group("workers", 0, 4, 9, "2", "4Gi", "us-west-2a", "us-west-2b")
		node := ct.Join(&g, "i-1", "us-west-2a")
		g.Instances = append(g.Instances, cluster.Instance{ID: "i-2", Zone: "us-west-2a", LifecycleState: "Pending", LaunchedAt: now.Add(-time.Minute)})
		return g, node
	}
	tests := []struct {
		name string
		edit func(g *cluster.Group, n *corev1.Node)
		want string
	}{
		{"an instance without node and two without instance", nil, "node-1 upcoming-i-2 upcoming-workers-1 upcoming-workers-2"},
		{"terminating instances are not coming and are replaced", func(g *cluster.Group, _ *corev1.Node) {
			g.Desired, g.Instances[1].LifecycleState = 2, "Terminating:Wait"
		}, "node-1 upcoming-workers-1"},
		{"warm instances are not coming", func(g *cluster.Group, _ *corev1.Node) {
			g.Desired, g.Instances[1].LifecycleState = 1, "Warmed:Stopped"
		}, "node-1"},
		{"an instance that has not joined for long is not waited for", func(g *cluster.Group, _ *corev1.Node) {
			g.Desired, g.Instances[1].LaunchedAt = 2, now.Add(-time.Hour)
		}, "node-1"},
		{"a backed off group launches nothing", func(g *cluster.Group, _ *corev1.Node) {
			g.BackoffUntil = now.Add(time.Minute)
		}, "node-1 upcoming-i-2"},
		{"a group without template cannot be imagined", func(g *cluster.Group, _ *corev1.Node) { g.Template = nil }, "node-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, node := base()
			if tt.edit != nil {
				tt.edit(&g, node)
			}
			s := snapshot(t, cluster.Input{Now: now, Nodes: []*corev1.Node{node}, Groups: []cluster.Group{g}})
			if got := names(s); got != tt.want {
				t.Errorf("nodes %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("missing capacity is expected where the group has least", func(t *testing.T) {
		g, node := base()
		s := snapshot(t, cluster.Input{Now: now, Nodes: []*corev1.Node{node}, Groups: []cluster.Group{g}})
		for name, zone := range map[string]string{"upcoming-i-2": "us-west-2a", "upcoming-workers-1": "us-west-2b", "upcoming-workers-2": "us-west-2b"} {
			if got := s.Node(name).Node().Labels[corev1.LabelTopologyZone]; got != zone {
				t.Errorf("%s is imagined in %s, want %s", name, got, zone)
			}
		}
		if got := s.NextZone("workers", nil); got != "us-west-2a" {
			t.Errorf("NextZone = %s, want us-west-2a", got)
		}
		if got := s.NextZone("workers", map[string]int{"us-west-2a": 1}); got != "us-west-2b" {
			t.Errorf("NextZone with one more in us-west-2a = %s, want us-west-2b", got)
		}
	})
}

func TestNodeStates(t *testing.T) {
	notReady := func(status corev1.ConditionStatus, age time.Duration) func(n *corev1.Node) {
		return func(n *corev1.Node) {
			n.CreationTimestamp = metav1.NewTime(now.Add(-age))
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule},
				corev1.Taint{Key: "own", Effect: corev1.TaintEffectNoSchedule})
		}
	}
	taint := func(key string) func(n *corev1.Node) {
		return func(n *corev1.Node) {
			n.CreationTimestamp = metav1.NewTime(now.Add(-time.Minute))
			n.Spec.Taints = []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule}}
		}
	}
	tests := []struct {
		name     string
		edit     func(n *corev1.Node)
		kind     cluster.Kind
		unusable string
		taints   int
	}{
		{"ready", func(*corev1.Node) {}, cluster.Joined, "", 0},
		{"starting loses only its start-up taints", notReady(corev1.ConditionFalse, time.Minute), cluster.Starting, "", 1},
		{"silent is lost, not starting", notReady(corev1.ConditionUnknown, time.Minute), cluster.Joined, "the node is not ready", 2},
		{"long not ready is lost", notReady(corev1.ConditionFalse, time.Hour), cluster.Joined, "the node is not ready", 2},
		{"Ready a moment before its taint goes", taint("node.kubernetes.io/not-ready"), cluster.Starting, "", 0},
		{"operator's start-up taint", taint("startup-taint.cluster-autoscaler.kubernetes.io/cni"), cluster.Starting, "", 0},
		{"to be deleted", taint(kube.ToBeDeletedTaint), cluster.Joined, "the node is being removed", 1},
		{"deletion timestamp", func(n *corev1.Node) { n.DeletionTimestamp = &metav1.Time{Time: now} }, cluster.Joined, "the Node is being deleted", 0},
		{"cordoned is left to the filters", func(n *corev1.Node) { n.Spec.Unschedulable = true }, cluster.Joined, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := ct.Group("workers", 0, 1, 3, "2", "4Gi", "us-west-2a")
			node := ct.Join(&g, "i-1", "us-west-2a")
			tt.edit(node)
			before := len(node.Spec.Taints)
			st := snapshot(t, cluster.Input{Now: now, Nodes: []*corev1.Node{node}, Groups: []cluster.Group{g}}).Node(node.Name)
			if st.Kind != tt.kind || st.Unusable != tt.unusable || len(st.Node().Spec.Taints) != tt.taints {
				t.Errorf("kind %v unusable %q taints %v, want %v %q %d", st.Kind, st.Unusable, st.Node().Spec.Taints, tt.kind, tt.unusable, tt.taints)
			}
			if len(node.Spec.Taints) != before {
				t.Error("the given Node was changed")
			}
		})
	}
}

func daemonSet(name string, edit func(*corev1.PodSpec)) *appsv1.DaemonSet {
	ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, UID: "ds-" + metav1.ObjectMeta{}.UID}}
	ds.UID += ct.Pod(name, "100m", "64Mi").UID
	ds.Spec.Template.Spec = ct.Pod(name, "100m", "64Mi").Spec
	if edit != nil {
		edit(&ds.Spec.Template.Spec)
	}
	return ds
}

func TestDaemonOverhead(t *testing.T) {
	g := ct.Group("workers", 0, 1, 3, "2", "4Gi", "us-west-2a")
	g.Template.Taints = []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
	tolerate := func(s *corev1.PodSpec) {
		s.Tolerations = append(s.Tolerations, corev1.Toleration{Operator: corev1.TolerationOpExists})
	}
	s := snapshot(t, cluster.Input{Groups: []cluster.Group{g}, DaemonSets: []*appsv1.DaemonSet{
		daemonSet("runs", tolerate),
		daemonSet("tainted-away", nil),
		daemonSet("other-arch", func(p *corev1.PodSpec) {
			tolerate(p)
			p.NodeSelector = map[string]string{corev1.LabelArchStable: "arm64"}
		}),
	}})
	pods := s.Node("upcoming-workers-1").Pods()
	if len(pods) != 1 || pods[0].Name != "runs-upcoming-workers-1" {
		t.Fatalf("daemons on the imagined node: %v, want the one that runs", pods)
	}
	if got := s.Node("upcoming-workers-1").Used.MilliCPU; got != 100 {
		t.Errorf("daemons take %dm cpu, want 100m", got)
	}
}

func TestPendingAndIncoming(t *testing.T) {
	gated := func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} }
	ending := func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }
	other := func(p *corev1.Pod) { p.Spec.SchedulerName = "other" }
	s := snapshot(t, cluster.Input{Pods: []*corev1.Pod{
		ct.Pending("b", "1", "1Gi"), ct.Pending("a", "1", "1Gi"), ct.Pod("fresh", "1", "1Gi"),
		ct.Pending("gated", "1", "1Gi", gated), ct.Pending("ending", "1", "1Gi", ending), ct.Pending("other", "1", "1Gi", other),
		ct.Pending("daemon", "1", "1Gi", ct.OwnedBy("DaemonSet", "d")), ct.Running("bound", "n", "1", "1Gi"),
	}})
	list := func(pods []cluster.Pod) (out []string) {
		for _, p := range pods {
			out = append(out, p.Name)
		}
		return out
	}
	if got := list(s.Pending()); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("Pending = %v", got)
	}
	if got := list(s.Incoming()); !slices.Equal(got, []string{"a", "b", "fresh"}) {
		t.Errorf("Incoming = %v", got)
	}
}

func TestTwiceIsAnError(t *testing.T) {
	g := ct.Group("workers", 0, 1, 3, "2", "4Gi", "us-west-2a")
	node := ct.Join(&g, "i-1", "us-west-2a")
	for name, in := range map[string]cluster.Input{
		"group": {Groups: []cluster.Group{g, g}},
		"node":  {Nodes: []*corev1.Node{node, node}},
	} {
		if _, err := cluster.New(in); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s twice: error %v", name, err)
		}
	}
}

func TestTemplateNode(t *testing.T) {
	for zone, region := range map[string]string{"us-west-2a": "us-west-2", "eu-central-1c": "eu-central-1", "us-west-2-lax-1a": "us-west-2"} {
		n := ct.Template("g", "2", "4Gi").Node("x", zone)
		for k, want := range map[string]string{
			corev1.LabelTopologyZone: zone, corev1.LabelTopologyRegion: region, cluster.EBSZoneLabel: zone,
			corev1.LabelHostname: "x", corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux", "group": "g",
		} {
			if n.Labels[k] != want {
				t.Errorf("zone %s: label %s = %q, want %q", zone, k, n.Labels[k], want)
			}
		}
		tainted := ct.Template("g", "2", "4Gi")
		tainted.Taints = []corev1.Taint{{Key: "startup-taint.cluster-autoscaler.kubernetes.io/x", Effect: corev1.TaintEffectNoSchedule}, {Key: "stays", Effect: corev1.TaintEffectNoSchedule}}
		if got := tainted.Node("x", zone).Spec.Taints; len(got) != 1 || got[0].Key != "stays" {
			t.Errorf("zone %s: taints %v, want the lasting one", zone, got)
		}
	}
}
