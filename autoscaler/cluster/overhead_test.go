package cluster_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

// used is what the pods of a new node request before any pod is sent to it.
func used(t *testing.T, in cluster.Input) cluster.Amounts {
	t.Helper()
	return snapshot(t, in).Imagine("workers", "new", "us-west-2a").Used
}

func limits(kv ...string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Containers[0].Resources = corev1.ResourceRequirements{Limits: ct.List(kv...)}
	}
}

func limitRange(name string, item corev1.LimitRangeItem) *corev1.LimitRange {
	return &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{item}}}
}

// The pods of a DaemonSet take what they take once the API server has admitted them.
func TestDaemonSetsAreSizedAsAdmitted(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	none := func(s *corev1.PodSpec) { s.Containers[0].Resources = corev1.ResourceRequirements{} }
	kata := "kata"
	for name, tt := range map[string]struct {
		edit        func(*corev1.PodSpec)
		ranges      []*corev1.LimitRange
		runtime     *nodev1.RuntimeClass
		cpu, memory int64
	}{
		"requests":             {nil, nil, nil, 100, 64 << 20},
		"limits only":          {limits("cpu", "1200m", "memory", "2Gi"), nil, nil, 1200, 2 << 30},
		"limit beside request": {func(s *corev1.PodSpec) { s.Containers[0].Resources.Limits = ct.List("cpu", "2", "memory", "2Gi") }, nil, nil, 100, 64 << 20},
		"nothing":              {none, nil, nil, 0, 0},
		"default request": {none, []*corev1.LimitRange{limitRange("a", corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, DefaultRequest: ct.List("cpu", "700m"), Default: ct.List("memory", "1Gi")})},
			nil, 700, 1 << 30},
		"maximum is the default": {none, []*corev1.LimitRange{limitRange("a", corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: ct.List("cpu", "900m")})}, nil, 900, 0},
		"minimum is the default": {none, []*corev1.LimitRange{limitRange("a", corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: ct.List("cpu", "50m")})}, nil, 50, 0},
		"limits win over a default request": {limits("cpu", "1"), []*corev1.LimitRange{limitRange("a", corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, DefaultRequest: ct.List("cpu", "100m", "memory", "1Gi")})},
			nil, 1000, 1 << 30},
		"the first by name": {none, []*corev1.LimitRange{
			limitRange("b", corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, DefaultRequest: ct.List("cpu", "200m")}),
			limitRange("a", corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, DefaultRequest: ct.List("cpu", "300m")}),
		}, nil, 300, 0},
		"of pods, not of containers": {none, []*corev1.LimitRange{limitRange("a", corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: ct.List("cpu", "1")})}, nil, 0, 0},
		"overhead": {func(s *corev1.PodSpec) { s.RuntimeClassName = &kata }, nil,
			&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: kata}, Overhead: &nodev1.Overhead{PodFixed: ct.List("cpu", "250m", "memory", "160Mi")}}, 350, 224 << 20},
		"runtime class of other nodes": {func(s *corev1.PodSpec) { s.RuntimeClassName = &kata }, nil,
			&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: kata}, Scheduling: &nodev1.Scheduling{NodeSelector: map[string]string{"kata": "yes"}}}, 0, 0},
		"limits of the pod as a whole": {func(s *corev1.PodSpec) {
			none(s)
			s.Resources = &corev1.ResourceRequirements{Limits: ct.List("cpu", "1500m", "memory", "1Gi")}
		}, nil, nil, 1500, 1 << 30},
		"limits of the pod beside a container's request": {func(s *corev1.PodSpec) {
			s.Resources = &corev1.ResourceRequirements{Limits: ct.List("cpu", "1500m", "memory", "1Gi")}
		}, nil, nil, 100, 64 << 20},
		"init container": {func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Name: "init", Resources: corev1.ResourceRequirements{Limits: ct.List("cpu", "1100m")}}}
		}, nil, nil, 1100, 64 << 20},
		"sidecar": {func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Name: "side", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Limits: ct.List("cpu", "500m")}}}
		}, nil, nil, 600, 64 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			in := cluster.Input{Groups: []cluster.Group{ct.Group("workers", 0, 0, 3, "2", "4Gi", "us-west-2a")}, LimitRanges: tt.ranges}
			in.DaemonSets = []*appsv1.DaemonSet{daemonSet("agent", tt.edit)}
			if tt.runtime != nil {
				in.RuntimeClasses = []*nodev1.RuntimeClass{tt.runtime}
			}
			before := in.DaemonSets[0].DeepCopy()
			got := used(t, in)
			if got.MilliCPU != tt.cpu || got.Memory != tt.memory {
				t.Errorf("used %d and %d, want %d and %d", got.MilliCPU, got.Memory, tt.cpu, tt.memory)
			}
			if !equality.Semantic.DeepEqual(before, in.DaemonSets[0]) {
				t.Error("the given DaemonSet was changed")
			}
		})
	}
}

// A pod that needs a port of the host does not fit beside a DaemonSet that has it by the
// host's network.
func TestDaemonSetsOnTheHostsNetworkTakeItsPorts(t *testing.T) {
	ds := daemonSet("agent", func(s *corev1.PodSpec) {
		s.HostNetwork = true
		s.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 9100}}
	})
	st := snapshot(t, cluster.Input{Groups: []cluster.Group{ct.Group("workers", 0, 0, 3, "2", "4Gi", "us-west-2a")}, DaemonSets: []*appsv1.DaemonSet{ds}}).Imagine("workers", "new", "us-west-2a")
	if p := st.Daemons[0].Class.Ports; len(p) != 1 || p[0].Port != 9100 {
		t.Errorf("ports %v", p)
	}
}

// told is what nodes said about their pods.
func told() []cluster.NodePod {
	return []cluster.NodePod{
		{Namespace: "kube-system", Name: "proxy", Requests: cluster.Amounts{MilliCPU: 300, Memory: 1 << 28, Pods: 1}, Ports: []cluster.HostPort{{Port: 443, Protocol: corev1.ProtocolTCP, IP: "0.0.0.0"}}},
		{Namespace: "kube-system", Name: "agent", DaemonSet: true, Generation: "2", Requests: cluster.Amounts{MilliCPU: 800, Memory: 1 << 29, Pods: 1}},
	}
}

// New nodes have the static pods that others of the group have, and the pods of their
// DaemonSets as they are there: something may change these when they are made.
func TestNewNodesHaveThePodsOfTheirGroup(t *testing.T) {
	g := ct.Group("workers", 0, 0, 3, "2", "4Gi", "us-west-2a")
	g.Template.NodePods = told()
	other := ct.Group("others", 0, 0, 3, "2", "4Gi", "us-west-2a")
	ds := daemonSet("agent", nil)
	for generation, want := range map[string]int64{"": 1100, "2": 1100, "3": 400} {
		ds := ds.DeepCopy()
		ds.Annotations = map[string]string{appsv1.DeprecatedTemplateGeneration: generation}
		s := snapshot(t, cluster.Input{Groups: []cluster.Group{g, other}, DaemonSets: []*appsv1.DaemonSet{ds}})
		st := s.Imagine("workers", "new", "us-west-2a")
		if st.Used.MilliCPU != want || st.Used.Pods != 2 || len(st.Pods()) != 2 {
			t.Errorf("generation %q: used %+v by %d pods, want %d", generation, st.Used, len(st.Pods()), want)
		}
		static := st.Daemons[len(st.Daemons)-1]
		if static.Name != "proxy-new" || len(static.Class.Ports) != 1 || static.Class.Ports[0].Port != 443 {
			t.Errorf("the static pod is %s with ports %v", static.Name, static.Class.Ports)
		}
		if got := s.Imagine("others", "new", "us-west-2a").Used.MilliCPU; got != 100 {
			t.Errorf("a node of another group uses %d", got)
		}
	}
}

// A young node will get the static pods that it does not show yet, and has those once.
func TestYoungNodeHasStaticPods(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		age   time.Duration
		shown bool
		want  int64
	}{"young": {time.Minute, false, 300}, "shown": {time.Minute, true, 300}, "old": {time.Hour, false, 0}} {
		g := ct.Group("workers", 0, 1, 3, "2", "4Gi", "us-west-2a")
		g.Template.NodePods = told()
		n := ct.Join(&g, "i-1", "us-west-2a")
		n.CreationTimestamp = metav1.NewTime(now.Add(-tt.age))
		in := cluster.Input{Now: now, Nodes: []*corev1.Node{n}, Groups: []cluster.Group{g}}
		if tt.shown {
			in.Pods = []*corev1.Pod{mirror("proxy", n.Name, "300m")}
		}
		if got := snapshot(t, in).Node(n.Name).Used.MilliCPU; got != tt.want {
			t.Errorf("%s: uses %d, want %d", name, got, tt.want)
		}
	}
}

func mirror(name, node, cpu string) *corev1.Pod {
	p := ct.Running(name+"-"+node, node, cpu, "64Mi")
	p.Namespace, p.OwnerReferences = "kube-system", nil
	p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	return p
}

// Of a node's pods those count that each node of its group has.
func TestNodePods(t *testing.T) {
	c := cluster.NewCache()
	daemon := ct.Running("agent-x", "node-1", "700m", "64Mi", ct.OwnedBy("DaemonSet", "agent"), ct.Labels(map[string]string{"pod-template-generation": "4"}))
	stray := ct.Running("other-name", "node-1", "100m", "64Mi")
	stray.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	for _, p := range []*corev1.Pod{daemon, stray, mirror("proxy", "node-1", "300m"), ct.Running("web", "node-1", "1", "1Gi")} {
		c.SetPod(p)
	}
	want := []cluster.NodePod{
		{Namespace: "kube-system", Name: "proxy", Requests: cluster.Amounts{MilliCPU: 300, Memory: 64 << 20, Pods: 1}},
		{Namespace: "default", Name: "agent", DaemonSet: true, Generation: "4", Requests: cluster.Amounts{MilliCPU: 700, Memory: 64 << 20, Pods: 1}},
	}
	same := func(got []cluster.NodePod) bool {
		if len(got) != len(want) {
			return false
		}
		for _, p := range got {
			if !p.Same(&want[0]) && !p.Same(&want[1]) {
				return false
			}
		}
		return true
	}
	if got := c.NodePods("node-1"); !same(got) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// It is looked for again once something changed.
	bigger := daemon.DeepCopy()
	bigger.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("900m")
	c.SetPod(bigger)
	most := int64(0)
	for _, p := range c.NodePods("node-1") {
		most = max(most, p.Requests.MilliCPU)
	}
	if most != 900 {
		t.Errorf("after a change: %+v", c.NodePods("node-1"))
	}
	if c.NodePods("node-2") != nil {
		t.Error("an unknown node has pods")
	}
}
