package loop

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/expectation"
	"github.com/joinery/joinery/autoscaler/scaledown"
)

// metrics are what the loop measures.
type metrics struct {
	pendingToDesired prometheus.Histogram
	rounds           prometheus.Histogram
	errors           prometheus.Counter
	rival            prometheus.Gauge
	pods             *prometheus.GaugeVec
	groups           *prometheus.GaugeVec
	unneeded         prometheus.Gauge
	lost             *prometheus.GaugeVec
	lostPods         prometheus.Gauge
	brake            prometheus.Gauge
	distrusted       prometheus.Counter
	expectations     *prometheus.CounterVec
	checked          *prometheus.CounterVec
	problems         *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	name := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "joinery", Subsystem: "autoscaler", Name: name, Help: help}
	}
	histogram := func(n, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "joinery", Subsystem: "autoscaler", Name: n, Help: help, Buckets: buckets})
	}
	m := &metrics{
		pendingToDesired: histogram("pending_to_desired_seconds",
			"From seeing a pod unschedulable to AWS's answer to the raise of desired capacity for it.",
			.1, .25, .35, .5, .75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300),
		rounds:   histogram("round_seconds", "Duration of a round, AWS calls included.", .001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30),
		errors:   prometheus.NewCounter(prometheus.CounterOpts(name("round_errors_total", "Rounds that met an error."))),
		rival:    prometheus.NewGauge(prometheus.GaugeOpts(name("rival_active", "1 while another autoscaler is active and nothing is done beside it."))),
		pods:     prometheus.NewGaugeVec(prometheus.GaugeOpts(name("pods", "Unschedulable pods, by what the last plan has for them.")), []string{"state"}),
		groups:   prometheus.NewGaugeVec(prometheus.GaugeOpts(name("group_instances", "Sizes of the managed groups: min, desired, max, present (instances) and usable (instances whose node is Ready).")), []string{"group", "size"}),
		unneeded: prometheus.NewGauge(prometheus.GaugeOpts(name("unneeded_nodes", "Nodes that the last plan could do without."))),
	}
	m.lost = prometheus.NewGaugeVec(prometheus.GaugeOpts(name("lost_nodes", "Nodes whose kubelet is not Ready though it had its time: waiting to be removed, or kept by a pod or a hold.")), []string{"state"})
	m.lostPods = prometheus.NewGauge(prometheus.GaugeOpts(name("lost_pods", "Pods on such nodes. They end only with their node.")))
	m.brake = prometheus.NewGauge(prometheus.GaugeOpts(name("brake", "1 while so many nodes of the cluster or a zone are not Ready that none is removed or replaced.")))
	m.distrusted = prometheus.NewCounter(prometheus.CounterOpts(name("distrusted_total", "Kinds of pods that the scheduler went on refusing where they should fit: planned since then without the nodes that it refuses.")))
	m.checked = prometheus.NewCounterVec(prometheus.CounterOpts(name("checked_plans_total", "Plans that the independent validator has looked at.")), []string{"plan"})
	m.problems = prometheus.NewCounterVec(prometheus.CounterOpts(name("plan_problems_total", "Faults that the independent validator found in plans. Anything but 0 is a bug.")), []string{"plan"})
	m.expectations = prometheus.NewCounterVec(prometheus.CounterOpts(name("expectations_total", "Nodes that were asked for, by what came of it: true, late, short (it came and helped none of its pods) or never.")), []string{"outcome"})
	for _, k := range expectation.Kinds {
		m.expectations.WithLabelValues(string(k))
	}
	for _, plan := range []string{"scale-up", "scale-down"} {
		m.checked.WithLabelValues(plan)
		m.problems.WithLabelValues(plan)
	}
	for _, c := range []prometheus.Collector{m.expectations, m.checked, m.problems, m.pendingToDesired, m.rounds, m.errors, m.rival, m.pods, m.groups, m.unneeded, m.lost, m.lostPods, m.brake, m.distrusted} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// setLost shows the nodes that are lost and the brake.
func (m *metrics) setLost(plan scaledown.Decision) {
	kept, pods := 0, 0
	for _, l := range plan.Lost {
		pods += len(l.Pods)
		if l.Kept != "" {
			kept++
		}
	}
	for state, n := range map[string]int{"waiting": len(plan.Lost) - kept, "kept": kept} {
		m.lost.WithLabelValues(state).Set(float64(n))
	}
	m.lostPods.Set(float64(pods))
	m.brake.Set(0)
	if plan.Brake != "" {
		m.brake.Set(1)
	}
}

func (m *metrics) setGroups(groups []cluster.Group, s *cluster.Snapshot) {
	m.groups.Reset()
	usable := map[string]int{}
	for _, n := range s.Nodes() {
		if n.Usable() {
			usable[n.Group]++
		}
	}
	for _, g := range groups {
		for size, n := range map[string]int{"min": g.Min, "desired": g.Desired, "max": g.Max, "present": len(g.Instances), "usable": usable[g.Name]} {
			m.groups.WithLabelValues(g.Name, size).Set(float64(n))
		}
	}
}
