package clustertest

import (
	"fmt"
	"math/rand/v2"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	policyv1 "k8s.io/api/policy/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
)

// Now is the moment of random clusters.
var Now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

var allZones = []string{"us-west-2a", "us-west-2b", "us-west-2c"}

// Random makes a cluster with a mixed workload out of a seed, the same each time:
// groups of several kinds, nodes in several states, and pods with every kind of
// constraint that a planner knows.
func Random(seed uint64) cluster.Input {
	r := rand.New(rand.NewPCG(seed, 7))
	in := cluster.Input{Now: Now}
	for i := range 1 + r.IntN(4) {
		in.Groups = append(in.Groups, randomGroup(r, i))
	}
	for i := range in.Groups {
		g := &in.Groups[i]
		for j := range r.IntN(min(4, g.Desired+1)) {
			in.Nodes = append(in.Nodes, randomNode(r, g, fmt.Sprintf("i-%d%d", i, j), g.Zones[j%len(g.Zones)]))
		}
	}
	for i, n := range in.Nodes {
		for j := range r.IntN(5) {
			opts := append(randomTerms(r, fmt.Sprintf("app-%d", r.IntN(5))), OwnedBy("ReplicaSet", fmt.Sprint("run-", r.IntN(3))))
			p := Running(fmt.Sprintf("run-%d-%d", i, j), n.Name, fmt.Sprintf("%dm", 100+100*r.IntN(5)), "256Mi", opts...)
			if r.IntN(6) == 0 {
				p.DeletionTimestamp = &metav1.Time{Time: Now.Add(-time.Hour)}
			}
			in.Pods = append(in.Pods, p)
		}
	}
	for i := range 1 + r.IntN(6) {
		in.Pods = append(in.Pods, randomApp(r, i)...)
	}
	randomRest(r, &in)
	return in
}

func randomRest(r *rand.Rand, in *cluster.Input) {
	in.Namespaces = []*corev1.Namespace{
		{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{"team": "a"}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "other", Labels: map[string]string{"team": "b"}}},
	}
	in.StorageClasses = []*storagev1.StorageClass{
		StorageClass("late", storagev1.VolumeBindingWaitForFirstConsumer),
		StorageClass("late-b", storagev1.VolumeBindingWaitForFirstConsumer, "us-west-2b"),
	}
	for _, zone := range allZones {
		pv, claim := PersistentVolume("pv-"+zone, "late", zone), Claim("in-"+zone, "late")
		Bind(claim, pv)
		in.PersistentVolumes = append(in.PersistentVolumes, pv)
		in.PersistentVolumeClaims = append(in.PersistentVolumeClaims, claim)
	}
	in.PersistentVolumeClaims = append(in.PersistentVolumeClaims, Claim("late", "late"), Claim("late-b", "late-b"))
	randomVolumes(r, in)
	if r.IntN(2) == 0 {
		ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "proxy", UID: "uid-ds"}}
		ds.Spec.Template.Spec = Pod("proxy", "100m", "64Mi").Spec
		in.DaemonSets = append(in.DaemonSets, ds)
	}
	one := intstr.FromInt32(1)
	for i := range 3 {
		in.PodDisruptionBudgets = append(in.PodDisruptionBudgets, &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("pdb-", i)},
			Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one,
				Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app-%d", i)}}},
			Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: int32(r.IntN(3))},
		})
	}
}

// randomVolumes gives some pods volumes of their own, and some nodes a limit.
func randomVolumes(r *rand.Rand, in *cluster.Input) {
	own := func(p *corev1.Pod, zone string) {
		name := "of-" + p.Name
		pv, claim := PersistentVolume("pv-"+name, "late", zone), Claim(name, "late")
		claim.Namespace = p.Namespace
		Bind(claim, pv)
		in.PersistentVolumes = append(in.PersistentVolumes, pv)
		in.PersistentVolumeClaims = append(in.PersistentVolumeClaims, claim)
		Uses(name)(p)
	}
	zone := map[string]string{}
	for _, n := range in.Nodes {
		zone[n.Name] = n.Labels[corev1.LabelTopologyZone]
		if r.IntN(2) == 0 {
			in.CSINodes = append(in.CSINodes, CSINode(n.Name, int32(1+r.IntN(2))))
		}
	}
	app := fmt.Sprint("app-", r.IntN(6))
	for _, p := range in.Pods {
		switch at := zone[p.Spec.NodeName]; {
		case at != "" && r.IntN(4) == 0:
			own(p, at)
		case p.Spec.NodeName == "" && p.Labels["app"] == app:
			own(p, allZones[len(p.Name)%2])
		}
	}
}

func randomGroup(r *rand.Rand, i int) cluster.Group {
	shapes := [][2]string{{"1900m", "3800Mi"}, {"3800m", "15Gi"}, {"7800m", "30Gi"}}
	shape := shapes[r.IntN(len(shapes))]
	zones := append([]string(nil), allZones...)
	r.Shuffle(3, func(i, j int) { zones[i], zones[j] = zones[j], zones[i] })
	desired := r.IntN(5)
	g := Group(fmt.Sprintf("g%d", i), r.IntN(2), desired, desired+r.IntN(9), shape[0], shape[1], zones[:1+r.IntN(3)]...)
	if r.IntN(4) == 0 {
		g.Template.Taints = []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
	}
	if r.IntN(8) == 0 {
		g.BackoffUntil = Now.Add(5 * time.Minute)
	}
	if r.IntN(2) == 0 {
		g.Price = []float64{0.05, 0.1, 0.2}[r.IntN(3)]
	}
	if r.IntN(5) == 0 {
		g.Priority = r.IntN(3)
	}
	if r.IntN(6) == 0 {
		g.Headroom = 1
	}
	if r.IntN(5) == 0 {
		g.Warm = 1
	}
	if r.IntN(4) == 0 {
		g.Template.Labels["disk"] = "ssd"
	}
	if r.IntN(4) == 0 {
		g.Template.AttachLimits = map[string]int32{"ebs.csi.aws.com": 2}
	}
	return g
}

func randomNode(r *rand.Rand, g *cluster.Group, id, zone string) *corev1.Node {
	n := Join(g, id, zone)
	switch r.IntN(12) {
	case 0:
		n.Spec.Unschedulable = true
	case 1:
		n.Status.Conditions[0].Status = corev1.ConditionUnknown
		n.Status.Conditions[0].LastTransitionTime = metav1.NewTime(Now.Add(-time.Hour))
	case 2:
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule})
	case 3:
		delete(n.Labels, corev1.LabelTopologyZone)
	case 4, 5:
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule})
	}
	return n
}

// randomTerms gives labels and, often, a constraint.
func randomTerms(r *rand.Rand, app string) []func(*corev1.Pod) {
	opts := []func(*corev1.Pod){Labels(map[string]string{"app": app})}
	other := fmt.Sprintf("app-%d", r.IntN(5))
	key := []string{corev1.LabelTopologyZone, corev1.LabelHostname}[r.IntN(2)]
	switch r.IntN(16) {
	case 0, 1:
		opts = append(opts, Spread(corev1.LabelTopologyZone, app))
	case 2:
		opts = append(opts, Spread(corev1.LabelHostname, app))
	case 3:
		opts = append(opts, Spread(corev1.LabelTopologyZone, app), Spread(corev1.LabelHostname, app), func(p *corev1.Pod) {
			two := int32(2)
			p.Spec.TopologySpreadConstraints[0].MinDomains = &two
			p.Spec.TopologySpreadConstraints[1].MaxSkew = 2
		})
	case 4, 5:
		opts = append(opts, AntiAffinity(corev1.LabelHostname, app))
	case 6:
		opts = append(opts, AntiAffinity(key, other), Labels(map[string]string{"app": app}))
	case 7:
		opts = append(opts, Affinity(key, other))
	case 8:
		opts = append(opts, Affinity(key, app))
	case 9:
		opts = append(opts, AntiAffinity(key, other), Labels(map[string]string{"app": app}), func(p *corev1.Pod) {
			p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].NamespaceSelector =
				&metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}
		})
	case 10:
		opts = append(opts, func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8080, Protocol: corev1.ProtocolTCP}}
		})
	case 11, 12:
		opts = append(opts, Spread(corev1.LabelTopologyZone, app), func(p *corev1.Pod) {
			honor := corev1.NodeInclusionPolicyHonor
			p.Spec.TopologySpreadConstraints[0].NodeTaintsPolicy = &honor
			if app == "app-1" {
				p.Spec.NodeSelector = map[string]string{"disk": "ssd"}
			}
		})
	}
	return opts
}

func randomApp(r *rand.Rand, i int) []*corev1.Pod {
	app := fmt.Sprintf("app-%d", i)
	opts := append(randomTerms(r, app), OwnedBy("ReplicaSet", app))
	switch r.IntN(10) {
	case 0:
		opts = append(opts, Selector(corev1.LabelTopologyZone, "us-west-2b"))
	case 1:
		opts = append(opts, Selector("disk", "ssd"))
	case 2:
		opts = append(opts, Uses([]string{"in-us-west-2a", "in-us-west-2b", "in-us-west-2c", "late", "late-b"}[r.IntN(5)]))
	case 3:
		opts = append(opts, func(p *corev1.Pod) { p.Namespace = "other" })
	case 4:
		always := corev1.ContainerRestartPolicyAlways
		opts = append(opts, func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{
				{Name: "side", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: List("cpu", "200m")}},
				{Name: "init", Resources: corev1.ResourceRequirements{Requests: List("cpu", "1500m")}},
			}
		})
	}
	if r.IntN(3) == 0 {
		opts = append(opts, func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
		})
	}
	if r.IntN(4) == 0 {
		opts = append(opts, Priority(int32(r.IntN(30)-15)))
	}
	cpu, memory := fmt.Sprintf("%dm", 50+50*r.IntN(60)), fmt.Sprintf("%dMi", 64+64*r.IntN(40))
	pods := make([]*corev1.Pod, 1+r.IntN(15))
	for j := range pods {
		pods[j] = Pending(fmt.Sprintf("%s-%02d", app, j), cpu, memory, opts...)
	}
	return pods
}
