package loop

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/autoscaler/cluster"
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
		groups:   prometheus.NewGaugeVec(prometheus.GaugeOpts(name("group_instances", "Sizes of the managed groups.")), []string{"group", "size"}),
		unneeded: prometheus.NewGauge(prometheus.GaugeOpts(name("unneeded_nodes", "Nodes that the last plan could do without."))),
	}
	m.checked = prometheus.NewCounterVec(prometheus.CounterOpts(name("checked_plans_total", "Plans that the independent validator has looked at.")), []string{"plan"})
	m.problems = prometheus.NewCounterVec(prometheus.CounterOpts(name("plan_problems_total", "Faults that the independent validator found in plans. Anything but 0 is a bug.")), []string{"plan"})
	for _, plan := range []string{"scale-up", "scale-down"} {
		m.checked.WithLabelValues(plan)
		m.problems.WithLabelValues(plan)
	}
	for _, c := range []prometheus.Collector{m.checked, m.problems, m.pendingToDesired, m.rounds, m.errors, m.rival, m.pods, m.groups, m.unneeded} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) setGroups(groups []cluster.Group) {
	m.groups.Reset()
	for _, g := range groups {
		for size, n := range map[string]int{"min": g.Min, "desired": g.Desired, "max": g.Max, "present": len(g.Instances)} {
			m.groups.WithLabelValues(g.Name, size).Set(float64(n))
		}
	}
}
