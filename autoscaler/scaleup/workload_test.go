package scaleup_test

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

// workload is n pods of thirty apps beside so many full nodes.
func workload(n, nodes, groups int, term func(app string) func(*corev1.Pod)) cluster.Input {
	r := rand.New(rand.NewPCG(42, 1))
	in := cluster.Input{Now: now}
	for i := range groups {
		zone := "us-west-2" + string(rune('a'+i%3))
		in.Groups = append(in.Groups, ct.Group(fmt.Sprintf("g%03d", i), 0, 0, 10000, "7900m", "16374Mi", zone))
	}
	for i := range nodes {
		g := &in.Groups[i%groups]
		node := ct.Join(g, fmt.Sprintf("i-%05d", i), g.Zones[0])
		g.Desired++
		in.Nodes = append(in.Nodes, node)
		for j := range 30 {
			in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("run-%05d-%02d", i, j), node.Name, "260m", "500Mi", ct.Labels(map[string]string{"app": fmt.Sprint("old-", j)})))
		}
	}
	cpus, mems := []string{"100m", "250m", "500m", "1", "1500m"}, []string{"128Mi", "256Mi", "512Mi", "1Gi", "2Gi", "4Gi"}
	for i := range n {
		k := r.IntN(30)
		app := fmt.Sprintf("app-%d", k)
		opts := []func(*corev1.Pod){ct.OwnedBy("ReplicaSet", app), ct.Labels(map[string]string{"app": app})}
		if term != nil {
			opts = append(opts, term(app))
		}
		in.Pods = append(in.Pods, ct.Pending(fmt.Sprintf("p-%06d", i), cpus[k%5], mems[k%6], opts...))
	}
	return in
}

func zoneSpread(app string) func(*corev1.Pod)   { return ct.Spread(corev1.LabelTopologyZone, app) }
func hostSpread(app string) func(*corev1.Pod)   { return ct.Spread(corev1.LabelHostname, app) }
func zoneAffinity(app string) func(*corev1.Pod) { return ct.Affinity(corev1.LabelTopologyZone, app) }
func apart(app string) func(*corev1.Pod)        { return ct.AntiAffinity(corev1.LabelHostname, app) }
