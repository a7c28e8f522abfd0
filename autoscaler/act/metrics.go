package act

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what an Executor did.
type Metrics struct {
	added      *prometheus.CounterVec
	failedUp   *prometheus.CounterVec
	removed    *prometheus.CounterVec
	rolledBack *prometheus.CounterVec
	evictions  *prometheus.CounterVec
	replaced   *prometheus.CounterVec
}

// NewMetrics returns the metrics, registered with reg.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "joinery", Subsystem: "autoscaler", Name: name, Help: help}, labels)
	}
	m := &Metrics{
		added:      counter("nodes_requested_total", "Instances asked for by raising desired capacity.", "group"),
		failedUp:   counter("scale_up_failures_total", "Increases that AWS refused or that could not be asked for.", "group"),
		removed:    counter("nodes_removed_total", "Nodes drained and terminated with decrement, by whether they were empty.", "group", "empty"),
		rolledBack: counter("scale_down_failures_total", "Removals that were refused or rolled back.", "group"),
		evictions:  counter("evictions_total", "Answers to eviction requests.", "result"),
		replaced:   counter("instances_replaced_total", "Instances terminated because they never became a node.", "group"),
	}
	for _, c := range []prometheus.Collector{m.added, m.failedUp, m.removed, m.rolledBack, m.evictions, m.replaced} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
