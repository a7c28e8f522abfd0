package validate_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/validate"
)

// TestPlugins has a bad and a good plan for what each plugin checks; they differ
// in nothing else.
func TestPlugins(t *testing.T) {
	const rwop = corev1.ReadWriteOncePod
	tests := []struct {
		name      string
		bad, good func(s *scene)
		// want are the problems of the bad plan.
		want []string
	}{
		{"cpu",
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "1500m", "1Gi"))
				s.place(ct.Pending("p", "600m", "1Gi"), "node-a")
			},
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "1500m", "1Gi"))
				s.place(ct.Pending("p", "500m", "1Gi"), "node-a")
			},
			[]string{"pod default/p: node node-a: NodeResourcesFit: Insufficient cpu"}},
		{"cpu of the pods placed before",
			func(s *scene) {
				s.place(ct.Pending("p", "1500m", "1Gi"), "node-a")
				s.place(ct.Pending("q", "600m", "1Gi"), "node-a")
			},
			func(s *scene) {
				s.place(ct.Pending("p", "1500m", "1Gi"), "node-a")
				s.place(ct.Pending("q", "600m", "1Gi"), "node-b")
			},
			[]string{"pod default/q: node node-a: NodeResourcesFit: Insufficient cpu"}},
		{"cpu of the daemons of a new node",
			func(s *scene) {
				s.in.DaemonSets = append(s.in.DaemonSets, daemonSet("log", "500m"))
				s.grow(zoneA, "new")
				s.place(ct.Pending("p", "1600m", "1Gi"), "new")
			},
			func(s *scene) {
				s.in.DaemonSets = append(s.in.DaemonSets, daemonSet("log", "500m"))
				s.grow(zoneA, "new")
				s.place(ct.Pending("p", "1500m", "1Gi"), "new")
			},
			[]string{"pod default/p: node new: NodeResourcesFit: Insufficient cpu"}},
		{"an init container counts for its maximum",
			func(s *scene) { s.place(small("p", initContainer("2100m", false)), "node-a") },
			func(s *scene) { s.place(small("p", initContainer("2", false)), "node-a") },
			[]string{"pod default/p: node node-a: NodeResourcesFit: Insufficient cpu"}},
		{"a sidecar is added",
			func(s *scene) { s.place(ct.Pending("p", "1500m", "1Gi", initContainer("600m", true)), "node-a") },
			func(s *scene) { s.place(ct.Pending("p", "1500m", "1Gi", initContainer("600m", false)), "node-a") },
			[]string{"pod default/p: node node-a: NodeResourcesFit: Insufficient cpu"}},
		{"taint",
			func(s *scene) {
				s.group().Template.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}
				s.grow(zoneA, "new")
				s.place(small("p"), "new")
			},
			func(s *scene) {
				s.group().Template.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectPreferNoSchedule}}
				s.grow(zoneA, "new")
				s.place(small("p"), "new")
			},
			[]string{"pod default/p: node new: TaintToleration: "}},
		{"cordon",
			func(s *scene) { s.nodeA().Spec.Unschedulable = true; s.place(small("p"), "node-a") },
			func(s *scene) { s.nodeA().Spec.Unschedulable = true; s.place(small("p"), "node-b") },
			[]string{"pod default/p: node node-a: NodeUnschedulable: "}},
		{"node selector",
			func(s *scene) { s.place(small("p", ct.Selector(corev1.LabelTopologyZone, zoneB)), "node-a") },
			func(s *scene) { s.place(small("p", ct.Selector(corev1.LabelTopologyZone, zoneB)), "node-b") },
			[]string{"pod default/p: node node-a: NodeAffinity: "}},
		{"affinity to a node by name",
			func(s *scene) { s.place(small("p", onlyOn("node-b")), "node-a") },
			func(s *scene) { s.place(small("p", onlyOn("node-b")), "node-b") },
			[]string{"pod default/p: node node-a: NodeAffinity: the pod may be on other nodes only"}},
		{"host port",
			func(s *scene) { s.place(small("p", hostPort), "node-a"); s.place(small("q", hostPort), "node-a") },
			func(s *scene) { s.place(small("p", hostPort), "node-a"); s.place(small("q", hostPort), "node-b") },
			[]string{"pod default/q: node node-a: NodePorts: "}},
		{"spread over zones",
			func(s *scene) {
				s.grow(zoneA, "new")
				s.place(small("p", ct.Spread(corev1.LabelTopologyZone, "web")), "node-a")
				s.place(small("q", ct.Spread(corev1.LabelTopologyZone, "web")), "new")
			},
			func(s *scene) {
				s.grow(zoneB, "new")
				s.place(small("p", ct.Spread(corev1.LabelTopologyZone, "web")), "node-a")
				s.place(small("q", ct.Spread(corev1.LabelTopologyZone, "web")), "new")
			},
			[]string{"pod default/q: node new: PodTopologySpread: "}},
		{"spread over nodes",
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "100m", "100Mi", app("web")))
				s.place(small("p", ct.Spread(corev1.LabelHostname, "web")), "node-a")
			},
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "100m", "100Mi", app("web")))
				s.place(small("p", ct.Spread(corev1.LabelHostname, "web")), "node-b")
			},
			[]string{"pod default/p: node node-a: PodTopologySpread: "}},
		{"affinity",
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "100m", "100Mi", app("db")))
				s.place(small("p", ct.Affinity(corev1.LabelTopologyZone, "db")), "node-b")
			},
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "100m", "100Mi", app("db")))
				s.place(small("p", ct.Affinity(corev1.LabelTopologyZone, "db")), "node-a")
			},
			[]string{"pod default/p: node node-b: InterPodAffinity: "}},
		{"anti-affinity",
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "100m", "100Mi", app("db")))
				s.place(small("p", ct.AntiAffinity(corev1.LabelHostname, "db"), app("web")), "node-a")
			},
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "100m", "100Mi", app("db")))
				s.place(small("p", ct.AntiAffinity(corev1.LabelHostname, "db"), app("web")), "node-b")
			},
			[]string{"pod default/p: node node-a: InterPodAffinity: "}},
		{"anti-affinity of a pod that is there",
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "100m", "100Mi", ct.AntiAffinity(corev1.LabelTopologyZone, "db")))
				s.grow(zoneA, "new")
				s.place(small("p", app("db")), "new")
			},
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "100m", "100Mi", ct.AntiAffinity(corev1.LabelTopologyZone, "db")))
				s.grow(zoneB, "new")
				s.place(small("p", app("db")), "new")
			},
			[]string{"pod default/p: node new: InterPodAffinity: "}},
		{"node affinity of a volume",
			func(s *scene) { s.volume("data", zoneB); s.place(small("p", ct.Uses("data")), "node-a") },
			func(s *scene) { s.volume("data", zoneB); s.place(small("p", ct.Uses("data")), "node-b") },
			[]string{"pod default/p: node node-a: VolumeBinding: "}},
		{"zone label of a volume",
			func(s *scene) {
				s.volume("data", "").Labels = map[string]string{corev1.LabelTopologyZone: zoneB}
				s.place(small("p", ct.Uses("data")), "node-a")
			},
			func(s *scene) {
				s.volume("data", "").Labels = map[string]string{corev1.LabelTopologyZone: zoneB}
				s.place(small("p", ct.Uses("data")), "node-b")
			},
			[]string{"pod default/p: node node-a: VolumeZone: "}},
		{"zones of a class",
			func(s *scene) {
				s.in.StorageClasses = append(s.in.StorageClasses, ct.StorageClass("b-only", storagev1.VolumeBindingWaitForFirstConsumer, zoneB))
				s.claim("data", "b-only")
				s.place(small("p", ct.Uses("data")), "node-a")
			},
			func(s *scene) {
				s.in.StorageClasses = append(s.in.StorageClasses, ct.StorageClass("b-only", storagev1.VolumeBindingWaitForFirstConsumer, zoneB))
				s.claim("data", "b-only")
				s.place(small("p", ct.Uses("data")), "node-b")
			},
			[]string{"pod default/p: node node-a: VolumeBinding: "}},
		{"a claim that should be bound",
			func(s *scene) { s.claim("data", "early"); s.place(small("p", ct.Uses("data")), "node-a") },
			func(s *scene) { s.claim("data", "late"); s.place(small("p", ct.Uses("data")), "node-a") },
			[]string{"pod default/p: node node-a: VolumeBinding: pod has unbound immediate PersistentVolumeClaims"}},
		{"a claim that does not exist",
			func(s *scene) { s.place(small("p", ct.Uses("data")), "node-a") },
			func(s *scene) { s.claim("data", "late"); s.place(small("p", ct.Uses("data")), "node-a") },
			[]string{`pod default/p: node node-a: VolumeRestrictions: persistentvolumeclaim "data" not found`}},
		{"one volume for two claims",
			func(s *scene) { twoClaims(s, 1) },
			func(s *scene) { twoClaims(s, 2) },
			[]string{"pod default/q: node node-a: VolumeBinding: "}},
		{"volumes that a node takes",
			func(s *scene) { s.in.CSINodes = []*storagev1.CSINode{ct.CSINode("node-a", 1)}; twoVolumes(s, "node-a") },
			func(s *scene) { s.in.CSINodes = []*storagev1.CSINode{ct.CSINode("node-a", 2)}; twoVolumes(s, "node-a") },
			[]string{"pod default/q: node node-a: NodeVolumeLimits: "}},
		{"volumes that a new node takes",
			func(s *scene) {
				s.group().Template.AttachLimits = map[string]int32{ct.EBSDriver: 1}
				s.grow(zoneA, "new")
				twoVolumes(s, "new")
			},
			func(s *scene) {
				s.group().Template.AttachLimits = map[string]int32{ct.EBSDriver: 2}
				s.grow(zoneA, "new")
				twoVolumes(s, "new")
			},
			[]string{"pod default/q: node new: NodeVolumeLimits: "}},
		{"volumes that a node on its way takes",
			func(s *scene) {
				s.group().Template.AttachLimits = map[string]int32{ct.EBSDriver: 1}
				s.group().Desired = 3
				twoVolumes(s, "upcoming-workers-1")
			},
			func(s *scene) {
				s.group().Template.AttachLimits = map[string]int32{ct.EBSDriver: 2}
				s.group().Desired = 3
				twoVolumes(s, "upcoming-workers-1")
			},
			[]string{"pod default/q: node upcoming-workers-1: NodeVolumeLimits: "}},
		{"volumes that a starting node takes",
			func(s *scene) { starting(s, 2, 1) },
			func(s *scene) { starting(s, 1, 2) },
			[]string{"pod default/q: node node-a: NodeVolumeLimits: "}},
		{"anti-affinity over namespaces by label",
			func(s *scene) { otherNamespace(s, "payments") },
			func(s *scene) { otherNamespace(s, "kitchen") },
			[]string{"pod default/p: node node-a: InterPodAffinity: "}},
		{"a volume for one pod only",
			func(s *scene) {
				s.volume("data", zoneA, rwop)
				s.run(ct.Running("r", "node-a", "100m", "100Mi", ct.Uses("data")))
				s.place(small("p", ct.Uses("data")), "node-a")
			},
			func(s *scene) {
				s.volume("data", zoneA)
				s.run(ct.Running("r", "node-a", "100m", "100Mi", ct.Uses("data")))
				s.place(small("p", ct.Uses("data")), "node-a")
			},
			[]string{"pod default/p: node node-a: VolumeRestrictions: "}},
		{"a pod goes where no room is made for it",
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "2", "1Gi", ending))
				s.place(ct.Pending("p", "1", "1Gi", ct.Priority(10)), "node-a")
			},
			func(s *scene) {
				s.run(ct.Running("r", "node-a", "2", "1Gi", ending))
				s.place(ct.Pending("p", "1", "1Gi", ct.Priority(10), nominated("node-a")), "node-a")
			},
			[]string{"pod default/p: node node-a: NodeResourcesFit: "}},
		{"preemption makes room once",
			func(s *scene) { preempt(s, "1100m", 0) },
			func(s *scene) { preempt(s, "1", 0) },
			[]string{"pod default/q: node node-a: NodeResourcesFit: "}},
		{"a pod that is not ending is no victim",
			func(s *scene) { preempt(s, "1", 0); s.in.Pods[0].DeletionTimestamp = nil },
			func(s *scene) { preempt(s, "1", 0) },
			[]string{"pod default/p: node node-a: NodeResourcesFit: ", "pod default/q: node node-a: NodeResourcesFit: "}},
		{"a pod of higher priority is no victim",
			func(s *scene) { preempt(s, "1", 20) },
			func(s *scene) { preempt(s, "1", 9) },
			[]string{"pod default/p: node node-a: NodeResourcesFit: ", "pod default/q: node node-a: NodeResourcesFit: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad, good := newScene(), newScene()
			tt.bad(bad)
			tt.good(good)
			expect(t, bad.check(t, validate.Options{}), tt.want)
			expect(t, good.check(t, validate.Options{}), nil)
		})
	}
}

// preempt has a pod of priority 10 come to node-a in the place of another that
// takes the whole node, and then a third of so much cpu.
func preempt(s *scene, cpu string, victim int32) {
	s.run(ct.Running("r", "node-a", "2", "1Gi", ct.Priority(victim), ending))
	s.place(ct.Pending("p", "1", "1Gi", ct.Priority(10), nominated("node-a")), "node-a")
	s.place(ct.Pending("q", cpu, "1Gi"), "node-a")
}

// twoClaims places two pods whose claims wait for volumes that are made by hand.
func twoClaims(s *scene, volumes int) {
	hand := ct.StorageClass("hand", storagev1.VolumeBindingWaitForFirstConsumer)
	hand.Provisioner = "kubernetes.io/no-provisioner"
	s.in.StorageClasses = append(s.in.StorageClasses, hand)
	for _, name := range []string{"pv-1", "pv-2"}[:volumes] {
		s.in.PersistentVolumes = append(s.in.PersistentVolumes, ct.PersistentVolume(name, "hand", zoneA))
	}
	s.claim("data-p", "hand")
	s.claim("data-q", "hand")
	s.place(small("p", ct.Uses("data-p")), "node-a")
	s.place(small("q", ct.Uses("data-q")), "node-a")
}

// twoVolumes places two pods on the node: one with a volume and one that gets
// one when it comes.
func twoVolumes(s *scene, node string) {
	s.volume("data-p", zoneA)
	s.claim("data-q", "late")
	s.place(small("p", ct.Uses("data-p")), node)
	s.place(small("q", ct.Uses("data-q")), node)
}

// starting has the first node start with a CSINode already.
func starting(s *scene, template, csiNode int32) {
	s.nodeA().Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}}
	s.group().Template.AttachLimits = map[string]int32{ct.EBSDriver: template}
	s.in.CSINodes = []*storagev1.CSINode{ct.CSINode("node-a", csiNode)}
	twoVolumes(s, "node-a")
}

// otherNamespace places a pod that keeps away from the databases of the given
// team; there is one of the team payments in another namespace.
func otherNamespace(s *scene, team string) {
	s.in.Namespaces = []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "payments"}}}}
	db := ct.Running("db", "node-a", "100m", "100Mi", app("db"))
	db.Namespace = "shop"
	s.run(db)
	p := small("p", ct.AntiAffinity(corev1.LabelHostname, "db"))
	p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": team}}
	s.place(p, "node-a")
}

func onlyOn(node string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
			}}},
		}}
	}
}
