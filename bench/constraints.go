package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// tally counts the placed pods of each app in each domain of one topology key.
// All constraints of a generated pod select the pods of its own app, by label
// app.
type tally struct {
	key string
	// domain: node -> its domain.
	domain map[string]string
	// pods: app -> domain -> pods placed there.
	pods map[string]map[string]int
}

// constraints checks, apart from all that the planners use, that the end of the
// plan keeps the spread, affinity and anti-affinity of every placed pod. It
// gives the first problem, or nothing.
func (o outcome) constraints(in cluster.Input) string {
	tallies := map[string]tally{}
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelHostname} {
		tallies[key] = o.tally(in, key)
	}
	checked := map[string]bool{}
	for _, p := range o.placements {
		app := p.Pod.Labels["app"]
		if checked[app] {
			continue
		}
		checked[app] = true
		if problem := broken(p.Pod, tallies); problem != "" {
			return "app " + app + " " + problem
		}
	}
	return ""
}

func (o outcome) tally(in cluster.Input, key string) tally {
	t := tally{key: key, domain: map[string]string{}, pods: map[string]map[string]int{}}
	for _, node := range in.Nodes {
		if !o.removed[node.Name] {
			t.domain[node.Name] = node.Labels[key]
		}
	}
	for _, n := range o.newNodes {
		t.domain[n.Name] = n.Name
		if key == corev1.LabelTopologyZone {
			t.domain[n.Name] = n.Zone
		}
	}
	for _, p := range o.placements {
		app := p.Pod.Labels["app"]
		if t.pods[app] == nil {
			t.pods[app] = map[string]int{}
		}
		t.pods[app][t.domain[p.Node]]++
	}
	return t
}

// bounds are how many pods of the app the domains have, at least and at most.
func (t tally) bounds(app string) (fewest, most int) {
	fewest = 1 << 30
	for _, domain := range t.domain {
		fewest = min(fewest, t.pods[app][domain])
		most = max(most, t.pods[app][domain])
	}
	return fewest, most
}

// broken says which of the pod's constraints its app breaks.
func broken(pod *corev1.Pod, tallies map[string]tally) string {
	app := pod.Labels["app"]
	for _, c := range pod.Spec.TopologySpreadConstraints {
		if fewest, most := tallies[c.TopologyKey].bounds(app); most-fewest > int(c.MaxSkew) {
			return fmt.Sprintf("has a skew of %d over %s", most-fewest, c.TopologyKey)
		}
	}
	for _, term := range affinityTerms(pod) {
		if domains := len(tallies[term.TopologyKey].pods[app]); domains > 1 {
			return fmt.Sprintf("is in %d domains of %s, wants one", domains, term.TopologyKey)
		}
	}
	for _, term := range antiAffinityTerms(pod) {
		if _, most := tallies[term.TopologyKey].bounds(app); most > 1 {
			return fmt.Sprintf("has %d pods in one domain of %s", most, term.TopologyKey)
		}
	}
	return ""
}

func affinityTerms(pod *corev1.Pod) []corev1.PodAffinityTerm {
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.PodAffinity == nil {
		return nil
	}
	return pod.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

func antiAffinityTerms(pod *corev1.Pod) []corev1.PodAffinityTerm {
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.PodAntiAffinity == nil {
		return nil
	}
	return pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}
