package scaleup

import (
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

// Random makes a cluster with a mixed workload out of a seed, the same each time.
func Random(seed uint64) cluster.Input {
	r := rand.New(rand.NewPCG(seed, 7))
	in := cluster.Input{Now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	for i := range 1 + r.IntN(4) {
		in.Groups = append(in.Groups, randomGroup(r, i))
	}
	for i := range in.Groups {
		g := &in.Groups[i]
		for j := range r.IntN(min(3, g.Desired+1)) {
			in.Nodes = append(in.Nodes, ct.Join(g, fmt.Sprintf("i-%d%d", i, j), g.Zones[j%len(g.Zones)]))
		}
	}
	for i, n := range in.Nodes {
		for j := range r.IntN(4) {
			in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("run-%d-%d", i, j), n.Name, "300m", "256Mi",
				ct.Labels(map[string]string{"app": fmt.Sprintf("app-%d", r.IntN(4))})))
		}
	}
	for i := range 1 + r.IntN(5) {
		in.Pods = append(in.Pods, randomApp(r, i)...)
	}
	return in
}

func randomGroup(r *rand.Rand, i int) cluster.Group {
	shapes := [][2]string{{"1900m", "3800Mi"}, {"3800m", "15Gi"}, {"7800m", "30Gi"}}
	shape := shapes[r.IntN(len(shapes))]
	zones := []string{"us-west-2a", "us-west-2b", "us-west-2c"}
	r.Shuffle(3, func(i, j int) { zones[i], zones[j] = zones[j], zones[i] })
	desired := r.IntN(4)
	g := ct.Group(fmt.Sprintf("g%d", i), 0, desired, desired+r.IntN(9), shape[0], shape[1], zones[:1+r.IntN(3)]...)
	if r.IntN(4) == 0 {
		g.Template.Taints = []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
	}
	if r.IntN(8) == 0 {
		g.BackoffUntil = time.Date(2026, 5, 1, 12, 5, 0, 0, time.UTC)
	}
	return g
}

func randomApp(r *rand.Rand, i int) []*corev1.Pod {
	app := fmt.Sprintf("app-%d", i)
	opts := []func(*corev1.Pod){ct.Labels(map[string]string{"app": app}), ct.OwnedBy("ReplicaSet", app)}
	switch r.IntN(8) {
	case 0:
		opts = append(opts, ct.Spread(corev1.LabelTopologyZone, app))
	case 1:
		opts = append(opts, ct.Spread(corev1.LabelHostname, app))
	case 2:
		opts = append(opts, ct.AntiAffinity(corev1.LabelHostname, app))
	case 3:
		opts = append(opts, ct.AntiAffinity(corev1.LabelTopologyZone, app))
	case 4:
		opts = append(opts, ct.Affinity(corev1.LabelTopologyZone, fmt.Sprintf("app-%d", r.IntN(4))))
	case 5:
		opts = append(opts, ct.Selector(corev1.LabelTopologyZone, "us-west-2b"))
	}
	if r.IntN(3) == 0 {
		opts = append(opts, func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
		})
	}
	if r.IntN(4) == 0 {
		opts = append(opts, ct.Priority(int32(r.IntN(30)-15)))
	}
	cpu, memory := fmt.Sprintf("%dm", 50+50*r.IntN(60)), fmt.Sprintf("%dMi", 64+64*r.IntN(40))
	pods := make([]*corev1.Pod, 1+r.IntN(15))
	for j := range pods {
		pods[j] = ct.Pending(fmt.Sprintf("%s-%02d", app, j), cpu, memory, opts...)
	}
	return pods
}
