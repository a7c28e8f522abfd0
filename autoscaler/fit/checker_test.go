package fit_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/fit"
)

func checker(t *testing.T, in cluster.Input) (*fit.Checker, *cluster.Snapshot) {
	t.Helper()
	s, err := cluster.New(in)
	if err != nil {
		t.Fatal(err)
	}
	c, err := fit.New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, s
}

// world is one node of 2 cpu and 4Gi in us-west-2a with a pod app=db of 1500m on
// it, and one empty node in us-west-2b.
func world() cluster.Input {
	g := ct.Group("workers", 0, 2, 3, "2", "4Gi", "us-west-2a", "us-west-2b")
	a, b := ct.Join(&g, "i-a", "us-west-2a"), ct.Join(&g, "i-b", "us-west-2b")
	return cluster.Input{
		Groups: []cluster.Group{g}, Nodes: []*corev1.Node{a, b},
		Pods: []*corev1.Pod{ct.Running("db", "node-a", "1500m", "1Gi", ct.Labels(map[string]string{"app": "db"}), hostPort(8080))},
	}
}

func hostPort(port int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: port, HostPort: port, Protocol: corev1.ProtocolTCP}}
	}
}

func initContainer(cpu string, sidecar bool) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := corev1.Container{Name: "init", Resources: corev1.ResourceRequirements{Requests: ct.List("cpu", cpu)}}
		if sidecar {
			always := corev1.ContainerRestartPolicyAlways
			c.RestartPolicy = &always
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
	}
}

func TestFits(t *testing.T) {
	tests := []struct {
		name string
		pod  *corev1.Pod
		edit func(in *cluster.Input)
		// onA and onB are parts of the reason on each node, empty when it fits.
		onA, onB string
	}{
		{"resources", ct.Pod("p", "600m", "1Gi"), nil, "Insufficient cpu (node would have 500m free of 2, pod asks 600m)", ""},
		{"memory", ct.Pod("p", "100m", "8Gi"), nil, "Insufficient memory", "Insufficient memory (node would have 4Gi, pod asks 8Gi)"},
		{"an init container counts for its maximum", ct.Pod("p", "100m", "1Gi", initContainer("2100m", false)), nil, "Insufficient cpu", "pod asks 2100m"},
		{"a sidecar is added", ct.Pod("p", "1500m", "1Gi", initContainer("600m", true)), nil, "Insufficient cpu", "pod asks 2100m"},
		{"extended resource", ct.Pod("p", "100m", "1Gi", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests["nvidia.com/gpu"] = resource.MustParse("1")
		}), nil, "Insufficient nvidia.com/gpu", "Insufficient nvidia.com/gpu"},
		{"too many pods", ct.Pod("p", "100m", "1Gi"), func(in *cluster.Input) {
			in.Nodes[0].Status.Allocatable["pods"] = resource.MustParse("1")
		}, "Too many pods", ""},
		{"node selector", ct.Pod("p", "100m", "1Gi", ct.Selector(corev1.LabelTopologyZone, "us-west-2b")), nil, "topology.kubernetes.io/zone=us-west-2b", ""},
		{"taint", ct.Pod("p", "100m", "1Gi"), func(in *cluster.Input) {
			in.Nodes[0].Spec.Taints = []corev1.Taint{{Key: "k", Value: "v", Effect: corev1.TaintEffectNoExecute}}
		}, "k=v:NoExecute", ""},
		{"cordoned", ct.Pod("p", "100m", "1Gi"), func(in *cluster.Input) { in.Nodes[1].Spec.Unschedulable = true }, "", "unschedulable"},
		{"host port", ct.Pod("p", "100m", "1Gi", hostPort(8080)), nil, "ports", ""},
		{"anti-affinity by zone", ct.Pod("p", "100m", "1Gi", ct.AntiAffinity(corev1.LabelTopologyZone, "db")), nil, "anti-affinity", ""},
		{"affinity by zone", ct.Pod("p", "100m", "1Gi", ct.Affinity(corev1.LabelTopologyZone, "db")), nil, "", "affinity"},
		{"spread by zone", ct.Pod("p", "100m", "1Gi", ct.Spread(corev1.LabelTopologyZone, "db")), nil, "topology spread", ""},
		{"affinity by namespace labels", ct.Pod("p", "100m", "1Gi", ct.Affinity(corev1.LabelHostname, "db"), func(p *corev1.Pod) {
			p.Namespace = "other"
			p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].NamespaceSelector =
				&metav1.LabelSelector{MatchLabels: map[string]string{"team": "data"}}
		}), func(in *cluster.Input) {
			in.Namespaces = []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{"team": "data"}}}}
		}, "", "affinity"},
		{"a node that is leaving, whatever the pod tolerates", ct.Pod("p", "100m", "1Gi", func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		}), func(in *cluster.Input) {
			in.Nodes[1].Spec.Taints = []corev1.Taint{{Key: cluster.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
		}, "", "being removed"},
		{"claim", ct.Pod("p", "100m", "1Gi", ct.Volume("v", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}})), nil,
			"volumes not supported yet", "persistent volume claim c"},
		{"ephemeral claim", ct.Pod("p", "100m", "1Gi", ct.Volume("v", corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}})), nil,
			"volumes not supported yet", "volumes not supported yet"},
		{"emptyDir and config map", ct.Pod("p", "100m", "1Gi", ct.Volume("v", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}),
			ct.Volume("c", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}})), nil, "", ""},
		{"gang", ct.Pod("p", "100m", "1Gi", func(p *corev1.Pod) { p.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{} }), nil, "gang", "gang"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := world()
			if tt.edit != nil {
				tt.edit(&in)
			}
			c, _ := checker(t, in)
			for node, want := range map[string]string{"node-a": tt.onA, "node-b": tt.onB} {
				got := c.Fits(tt.pod, node).String()
				if want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("on %s: %q, want %q in it", node, got, want)
				}
			}
		})
	}
}

func TestFitsFollowsTheSnapshot(t *testing.T) {
	c, s := checker(t, world())
	pod := ct.Pod("p", "1500m", "1Gi")
	s.Fork()
	if err := s.AddPod(ct.Pod("q", "1", "1Gi"), "node-b"); err != nil {
		t.Fatal(err)
	}
	if c.Fits(pod, "node-b") == nil {
		t.Error("fits beside a pod that was added")
	}
	s.Revert()
	if r := c.Fits(pod, "node-b"); r != nil {
		t.Errorf("does not fit after the revert: %s", r)
	}
	s.AddPlanned("workers", "planned")
	if r := c.Fits(pod, "planned"); r != nil {
		t.Errorf("does not fit on a planned node: %s", r)
	}
	if r := c.Fits(pod, "unknown"); r == nil {
		t.Error("fits on a node that is not there")
	}
}

func TestClassOf(t *testing.T) {
	base := func(opts ...func(*corev1.Pod)) fit.Class { return fit.ClassOf(ct.Pod("a", "1", "1Gi", opts...)) }
	token := func(name string) func(*corev1.Pod) {
		return ct.Volume(name, corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}})
	}
	if base(token("kube-api-access-x")) != fit.ClassOf(ct.Pod("b", "1", "1Gi", token("kube-api-access-y"))) {
		t.Error("names make another class")
	}
	for name, opt := range map[string]func(*corev1.Pod){
		"labels":   ct.Labels(map[string]string{"app": "x"}),
		"selector": ct.Selector("k", "v"),
		"port":     hostPort(80),
		"init":     initContainer("2", false),
	} {
		if base(opt).Key == base().Key {
			t.Errorf("%s make no other class", name)
		}
	}
	if !base().Monotone || !base(ct.AntiAffinity(corev1.LabelHostname, "x")).Monotone {
		t.Error("a plain class or one with anti-affinity is not monotone")
	}
	if base(ct.Affinity(corev1.LabelHostname, "x")).Monotone || base(ct.Spread(corev1.LabelHostname, "x")).Monotone {
		t.Error("a class with affinity or spread is monotone")
	}
}

func TestPackerSkipsWhatRefused(t *testing.T) {
	c, s := checker(t, world())
	p := fit.NewPacker(c, s.Nodes())
	var places []string
	for _, name := range []string{"1", "2", "3", "4"} {
		if n := p.Place(ct.Pod(name, "700m", "1Gi")); n != nil {
			places = append(places, n.Name())
		}
	}
	if got := strings.Join(places, " "); got != "node-b node-b" {
		t.Errorf("placed on %q, want twice on node-b", got)
	}
	clone := p.Clone()
	clone.Add(s.AddPlanned("workers", "new"))
	if n := clone.Place(ct.Pod("5", "700m", "1Gi")); n == nil || n.Name() != "new" {
		t.Errorf("placed on %v, want the added node", n)
	}
	if n := p.Place(ct.Pod("6", "700m", "1Gi")); n != nil {
		t.Errorf("the clone's node got into the original: %s", n.Name())
	}
}
