package validate_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/validate"
)

const zoneA, zoneB = "us-west-2a", "us-west-2b"

// scene is a cluster and a plan for it. The cluster has node-a in zoneA and
// node-b in zoneB, of 2 cpu and 4Gi each and empty, of group workers with sizes
// 1 to 4; there are classes late and early, which bind when a pod comes and at
// once.
type scene struct {
	in   cluster.Input
	plan validate.Plan
}

func newScene() *scene {
	g := ct.Group("workers", 1, 2, 4, "2", "4Gi", zoneA, zoneB)
	return &scene{in: cluster.Input{
		Nodes:  []*corev1.Node{ct.Join(&g, "i-a", zoneA), ct.Join(&g, "i-b", zoneB)},
		Groups: []cluster.Group{g},
		StorageClasses: []*storagev1.StorageClass{
			ct.StorageClass("late", storagev1.VolumeBindingWaitForFirstConsumer),
			ct.StorageClass("early", storagev1.VolumeBindingImmediate),
		},
	}}
}

func (s *scene) group() *cluster.Group { return &s.in.Groups[0] }
func (s *scene) nodeA() *corev1.Node   { return s.in.Nodes[0] }

// protect protects the group's instances from scale-in.
func (s *scene) protect() {
	for i := range s.group().Instances {
		s.group().Instances[i].Protected = true
	}
}

// run adds pods that have a node.
func (s *scene) run(pods ...*corev1.Pod) { s.in.Pods = append(s.in.Pods, pods...) }

// place adds a pending pod and its placement.
func (s *scene) place(pod *corev1.Pod, node string) {
	s.in.Pods = append(s.in.Pods, pod)
	s.move(pod, node)
}

// move places a pod that is there.
func (s *scene) move(pod *corev1.Pod, node string) {
	s.plan.Placements = append(s.plan.Placements, cluster.Placement{Pod: pod, Node: node})
}

// grow adds new nodes in the zone.
func (s *scene) grow(zone string, names ...string) {
	for _, n := range names {
		s.plan.NewNodes = append(s.plan.NewNodes, cluster.NewNode{Name: n, Group: "workers", Zone: zone})
	}
}

// claim adds an unbound claim.
func (s *scene) claim(name, class string, modes ...corev1.PersistentVolumeAccessMode) *corev1.PersistentVolumeClaim {
	c := ct.Claim(name, class, modes...)
	s.in.PersistentVolumeClaims = append(s.in.PersistentVolumeClaims, c)
	return c
}

// volume adds a claim bound to a volume of the zone.
func (s *scene) volume(name, zone string, modes ...corev1.PersistentVolumeAccessMode) *corev1.PersistentVolume {
	c, pv := s.claim(name, "late", modes...), ct.PersistentVolume("pv-"+name, "late", zone)
	ct.Bind(c, pv)
	s.in.PersistentVolumes = append(s.in.PersistentVolumes, pv)
	return pv
}

func (s *scene) check(t *testing.T, o validate.Options) []string {
	t.Helper()
	profile, err := fit.DefaultProfile()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := validate.Check(ct.Honest(s.in), s.plan, profile, o)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(problems))
	for i, p := range problems {
		out[i] = p.String()
	}
	return out
}

// expect compares problems with what each must begin with.
func expect(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("unexpected problem: %s", got[i])
		case i >= len(got):
			t.Errorf("missing problem: %s", want[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("problem %q, want %q", got[i], want[i])
		}
	}
}

func small(name string, opts ...func(*corev1.Pod)) *corev1.Pod {
	return ct.Pending(name, "100m", "100Mi", opts...)
}

func hostPort(p *corev1.Pod) {
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80, Protocol: corev1.ProtocolTCP}}
}

func app(name string) func(*corev1.Pod) { return ct.Labels(map[string]string{"app": name}) }

// initContainer adds an init container, which stays as a sidecar if it restarts always.
func initContainer(cpu string, always bool) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := corev1.Container{Name: "init", Resources: corev1.ResourceRequirements{Requests: ct.List("cpu", cpu)}}
		if always {
			policy := corev1.ContainerRestartPolicyAlways
			c.RestartPolicy = &policy
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
	}
}

func daemonSet(name, cpu string) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, UID: "uid-ds"},
		Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "d", Resources: corev1.ResourceRequirements{Requests: ct.List("cpu", cpu)},
			}}},
		}},
	}
}

func ending(p *corev1.Pod) {
	now := metav1.Now()
	p.DeletionTimestamp = &now
}

func nominated(node string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.NominatedNodeName = node }
}
