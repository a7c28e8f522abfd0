package workload

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

// Mix makes so many pending pods.
type Mix func(m *maker, pods int)

// The requests of the benchmark that Karpenter keeps in its own tree.
var (
	cpus     = []int64{100, 250, 500, 1000, 1500}
	memories = []int64{100, 256, 512, 1024, 2048, 4096}
)

// The requests of small services.
var (
	tinyCPUs     = []int64{10, 25, 50, 100, 200, 250}
	tinyMemories = []int64{32, 64, 128, 200, 256, 512}
)

func pick(m *maker, of []int64) int64 { return of[m.random.IntN(len(of))] }

// request draws what one pod of Karpenter's benchmark requests.
func request(m *maker) (cpu, memory int64) { return pick(m, cpus), pick(m, memories) }

// Plain makes 30 ReplicaSets, one for each pair of Karpenter's requests.
func Plain(m *maker, pods int) {
	for range pods {
		cpu, memory := request(m)
		m.add(fmt.Sprintf("plain-%dm-%dmi", cpu, memory), cpu, memory)
	}
}

// PlainOne makes a single Deployment.
func PlainOne(m *maker, pods int) {
	for range pods {
		m.add("one", 500, 1024)
	}
}

// PlainTiny makes two Deployments for every three pods: of one pod mostly, of
// two or three some.
func PlainTiny(m *maker, pods int) {
	for app := 0; pods > 0; app++ {
		replicas := min(pods, []int{1, 1, 1, 1, 1, 1, 2, 2, 2, 3}[m.random.IntN(10)])
		cpu, memory := pick(m, tinyCPUs), pick(m, tinyMemories)
		for range replicas {
			m.add(fmt.Sprintf("tiny-%05d", app), cpu, memory)
		}
		pods -= replicas
	}
}

// apps makes so many Deployments of one request each, with a constraint that
// names the app.
func apps(m *maker, pods, apps int, name string, constraint func(app string) func(*corev1.Pod)) {
	type requests struct{ cpu, memory int64 }
	of := make([]requests, apps)
	for i := range of {
		of[i].cpu, of[i].memory = request(m)
	}
	for i := range pods {
		app := fmt.Sprintf("%s-%02d", name, i%apps)
		m.add(app, of[i%apps].cpu, of[i%apps].memory, constraint(app))
	}
}

func spread(key string) func(string) func(*corev1.Pod) {
	return func(app string) func(*corev1.Pod) { return clustertest.Spread(key, app) }
}

func affinity(key string) func(string) func(*corev1.Pod) {
	return func(app string) func(*corev1.Pod) { return clustertest.Affinity(key, app) }
}

func antiAffinity(key string) func(string) func(*corev1.Pod) {
	return func(app string) func(*corev1.Pod) { return clustertest.AntiAffinity(key, app) }
}

// Spread makes 20 Deployments, each spread evenly over the zones.
func Spread(m *maker, pods int) { apps(m, pods, 20, "spread", spread(corev1.LabelTopologyZone)) }

// SpreadHostname makes 20 Deployments, each spread evenly over the nodes.
func SpreadHostname(m *maker, pods int) {
	apps(m, pods, 20, "spread-host", spread(corev1.LabelHostname))
}

// Affinity makes seven Deployments, each to be in one zone.
func Affinity(m *maker, pods int) { apps(m, pods, 7, "affinity", affinity(corev1.LabelTopologyZone)) }

// AntiAffinity makes five Deployments whose pods share no node.
func AntiAffinity(m *maker, pods int) {
	apps(m, pods, 5, "anti", antiAffinity(corev1.LabelHostname))
}

// Diverse makes a fifth each of plain pods, zone spread, hostname spread, zone
// affinity and hostname anti-affinity, as makeDiversePods of Karpenter's
// benchmark does: seven apps of the first four kinds, one of the last, and every
// pod with requests of its own.
func Diverse(m *maker, pods int) {
	kinds := []struct {
		name       string
		apps       int
		constraint func(app string) func(*corev1.Pod)
	}{
		{"plain", 7, func(string) func(*corev1.Pod) { return func(*corev1.Pod) {} }},
		{"zone", 7, spread(corev1.LabelTopologyZone)},
		{"host", 7, spread(corev1.LabelHostname)},
		{"near", 7, affinity(corev1.LabelTopologyZone)},
		{"nginx", 1, antiAffinity(corev1.LabelHostname)},
	}
	for i := range pods {
		kind := kinds[i%len(kinds)]
		app := fmt.Sprintf("%s-%d", kind.name, m.random.IntN(kind.apps))
		cpu, memory := request(m)
		m.add(app, cpu, memory, kind.constraint(app))
	}
}
